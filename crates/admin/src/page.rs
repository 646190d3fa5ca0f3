//! The files of the try-it page, compiled into the binary.
//!
//! Paths are compared whole, so no request can reach a file that is not listed here.

/// What a browser may load and reach from the page: its own files, and brokers over WebSocket.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The media type and text of the file at the path.
pub(crate) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/" => Some((
            "text/html; charset=utf-8",
            include_str!("../page/index.html"),
        )),
        "/page/style.css" => Some(("text/css; charset=utf-8", include_str!("../page/style.css"))),
        "/page/page.js" => Some((SCRIPT, include_str!("../page/page.js"))),
        "/page/mqtt.js" => Some((SCRIPT, include_str!("../page/mqtt.js"))),
        "/page/icon.svg" => Some(("image/svg+xml", include_str!("../page/icon.svg"))),
        _ => None,
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
