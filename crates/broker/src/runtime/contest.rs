//! Two connections that want one client id: the one that has it is asked whether it is there.
//!
//! Who wins is the engine's to say. Here a WebSocket is pinged, since browsers answer for their pages; what can't be pinged is
//! taken for alive. Both have their home on this shard, so both links are found here.

use super::worker::Worker;
use weir_codec::Utf8;
use weir_engine::ConnectionKey;

/// Asks the holder for a sign of life; the log is told if that `is_news`.
pub(crate) fn ask(
    worker: &Worker,
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
        // Nobody can tell, so its word is taken for it until its Keep Alive runs out.
        worker.alive(now, holder.key());
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
