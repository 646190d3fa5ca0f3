//! The orderly end of a shard.
//!
//! Its connections are told and closed; what that leads to, here, in other shards and on the disk, is done to its end
//! before it says that it is quiet. It goes on working for the others until all of them are, since mail that nobody reads
//! any more would be lost. Nobody is waited for longer than `shutdown_seconds`.

use super::worker::{CROWD_PAUSE, Worker};
use std::rc::Rc;
use tokio::time::{Instant, sleep, timeout_at};
use weir_engine::Input;

/// Ends all connections and says so when nothing is under way any more, or nobody should be waited for.
pub(crate) async fn run(worker: Rc<Worker>) {
    let deadline = Instant::now() + worker.shared.config.timing.shutdown;
    worker.is_ending.set(true);
    worker.accepting.take();
    worker.handle(worker.now(), Input::Shutdown);
    if timeout_at(deadline, calm(&worker)).await.is_err() {
        tracing::warn!(
            shard = worker.index,
            connections = worker.tasks.get(),
            is_kept = worker.shard.borrow().is_quiet(),
            "gave up on what was still under way"
        );
    }
    // Whoever hears that this shard is quiet has its mail already.
    worker.post.flush();
    let _ = worker.settled.send(());
}

/// Waits until all connections are closed and nothing is asked of anybody.
async fn calm(worker: &Worker) {
    while worker.tasks.get() > 0 {
        worker.emptied.notified().await;
    }
    while !worker.shard.borrow().is_quiet() {
        sleep(CROWD_PAUSE).await;
    }
}
