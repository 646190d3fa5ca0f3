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
    /// Divides the cores, where there are two.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn divide() -> io::Result<Self> {
        let all = sched_getaffinity(CALLER)?;
        let mut cores = (0..CpuSet::count()).filter(|core| all.is_set(*core).unwrap_or(false));
        let (first, others) = (cores.next(), cores.collect::<Vec<_>>());
        let set = |cores: &[usize]| {
            let mut set = CpuSet::new();
            cores.iter().try_for_each(|core| set.set(*core))?;
            Ok::<_, io::Error>(set)
        };
        let (of_generator, of_broker) = match first {
            Some(first) if !others.is_empty() => (set(&[first])?, set(&others)?),
            _ => (all, all),
        };
        Ok(Self {
            all,
            of_generator,
            of_broker,
        })
    }

    /// Leaves all cores to both.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn share() -> io::Result<Self> {
        let all = sched_getaffinity(CALLER)?;
        Ok(Self {
            all,
            of_generator: all,
            of_broker: all,
        })
    }

    /// How many are the broker's.
    pub(super) fn of_broker(&self) -> usize {
        let is_of_broker = |core: &usize| self.of_broker.is_set(*core).unwrap_or(false);
        (0..CpuSet::count()).filter(is_of_broker).count()
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
    fn a_broker_has_other_cores_than_the_generator_where_there_are_two() {
        let own = || sched_getaffinity(CALLER).unwrap();
        let (before, shared) = (own(), Cores::share().unwrap());
        for cores in [Cores::divide().unwrap(), Cores::share().unwrap()] {
            let of_broker = cores.start(|| Ok(own())).unwrap();
            let is_divided = cores.of_broker() < shared.of_broker();
            assert_eq!(own() != of_broker, is_divided);
            drop(cores);
            assert_eq!(own(), before);
        }
    }
}
