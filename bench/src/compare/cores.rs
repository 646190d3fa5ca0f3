//! Who has which cores: the generator one, the broker the others.
//!
//! Left alone, the scheduler often puts both on one core, since each wakes the other; then any write to a receiver may hand
//! the core over, and how often it does decides what a delivery costs and how late it is. A broker's clients compute
//! elsewhere, so no broker is measured like that.
//!
//! Threads and processes have the cores of the thread that starts them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// The calling thread's cores, divided until this is dropped.
#[derive(Debug)]
pub(super) struct Cores {
    all: CpuSet,
    of_generator: CpuSet,
    of_broker: CpuSet,
}

impl Cores {
    /// Divides the cores. Where the broker's part would be less than `wanted`, nobody is kept from any.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn divide(wanted: usize) -> io::Result<Self> {
        let all = sched_getaffinity(CALLER)?;
        let mut cores = (0..CpuSet::count()).filter(|core| all.is_set(*core).unwrap_or(false));
        let (first, others) = (cores.next(), cores.collect::<Vec<_>>());
        let is_enough = others.len() >= wanted;
        let set = |cores: &[usize]| {
            let mut set = CpuSet::new();
            cores.iter().try_for_each(|core| set.set(*core))?;
            Ok::<_, io::Error>(set)
        };
        let (of_generator, of_broker) = match first {
            Some(first) if is_enough => (set(&[first])?, set(&others)?),
            _ => (all, all),
        };
        Ok(Self {
            all,
            of_generator,
            of_broker,
        })
    }

    /// Starts the broker on its cores; this thread goes on on the generator's.
    ///
    /// # Errors
    /// That the broker can't be started, and those of the operating system.
    pub(super) fn start<T>(&self, broker: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        sched_setaffinity(CALLER, &self.of_broker)?;
        let started = broker();
        sched_setaffinity(CALLER, &self.of_generator)?;
        started
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // It could be had before.
        let _ = sched_setaffinity(CALLER, &self.all);
    }
}

/// The calling thread.
const CALLER: Pid = Pid::from_raw(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_other_cores_than_the_generator_where_there_are_enough() {
        let own = || sched_getaffinity(CALLER).unwrap();
        let (before, count) = (own(), std::thread::available_parallelism().unwrap().get());
        for wanted in [1, count] {
            let cores = Cores::divide(wanted).unwrap();
            let of_broker = cores.start(|| Ok(own())).unwrap();
            assert_eq!(own() == of_broker, wanted >= count);
            drop(cores);
            assert_eq!(own(), before);
        }
    }
}
