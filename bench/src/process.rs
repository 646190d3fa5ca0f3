//! What a process has used: CPU time from its own clock, memory from /proc.
//!
//! The clock of a process counts all its threads, ended ones included, in nanoseconds. A process that is gone has used
//! nothing: whoever measures it finds the messages missing.

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// A process by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// This program.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// User and system time so far.
    pub(crate) fn cpu(self) -> Duration {
        let clock = clock_getcpuclockid(Pid::from_raw(self.0.cast_signed()));
        let time = clock.and_then(clock_gettime);
        time.map_or(Duration::ZERO, Duration::from)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// The most that was ever resident, in bytes.
    pub(crate) fn resident_peak_bytes(self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    fn status(self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let own = Process::own();
        let before = own.cpu();
        while own.cpu() == before {}
        // In this order: other threads take memory meanwhile.
        let resident_bytes = own.resident_bytes();
        assert!(resident_bytes > 0 && own.resident_peak_bytes() >= resident_bytes);
        assert_eq!(Process(1 << 28).cpu(), Duration::ZERO);
    }
}
