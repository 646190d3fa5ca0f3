//! Two connections that want one client id: the one that has it is asked whether it is there.
//!
//! Who wins is the engine's to say. Here a WebSocket is pinged, since browsers answer for their pages. What can't be pinged is
//! taken for alive; but for some seconds the operating system looks closely whether there is still a peer, and if not, the
//! connection ends and the client id is free. Both have their home on this shard, so both links are found here.

use super::link::Link;
use super::worker::Worker;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::sleep;
use weir_codec::Utf8;
use weir_engine::ConnectionKey;

/// Longer than the operating system takes to find out.
const PROBING: Duration = Duration::from_secs(8);

/// Asks the holder for a sign of life; the log is told if that `is_news`.
pub(crate) fn ask(
    worker: &Rc<Worker>,
    client_id: &Utf8,
    (holder, newcomer): (ConnectionKey, ConnectionKey),
    is_news: bool,
) {
    let (Some(holder), Some(newcomer)) = (worker.link(holder), worker.link(newcomer)) else {
        return;
    };
    let now = worker.now();
    if holder.has_pings() {
        holder.ping(now);
    } else {
        worker.alive(now, holder.key());
        spawn_local(probe(Rc::clone(worker), Rc::clone(&holder)));
    }
    if is_news {
        tracing::warn!(
            client = client_id.as_str(),
            holder = %holder.peer(),
            newcomer = %newcomer.peer(),
            "takeover loop: two clients use one client id; the holder keeps it while the other keeps coming"
        );
    }
}

/// Looks closely for a while, once at a time.
async fn probe(worker: Rc<Worker>, holder: Rc<Link>) {
    if holder.set_probed(true) {
        return;
    }
    holder.with_bare_socket(|socket| socket.set_urgent(true));
    sleep(PROBING).await;
    let interval = worker.shared.config.timing.ping_interval;
    holder.with_bare_socket(|socket| {
        socket.set_urgent(false)?;
        socket.set_keep_alive(interval)
    });
    holder.set_probed(false);
}
