//! Health, metrics and the try-it page, served beside the WebSocket endpoint.
//!
//! One pure function from a request to a response: no sockets, no state, nothing to wait for. The page and
//! its script are compiled in, so the binary needs no files and the browser fetches nothing from
//! elsewhere; the Content-Security-Policy makes the browser hold us to that. Every request gets an
//! answer that says what to do instead.

mod health;
mod metrics;
mod page;

pub use health::Health;
pub use metrics::{Counts, Metrics, StoreLoad, Traffic};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};

const NOT_FOUND: &str = "\
Nothing is here. This port serves:
  /         the try-it page
  /healthz  health, as JSON
  /metrics  for Prometheus, where the listener has `metrics = true`
and MQTT over WebSocket (subprotocol mqtt or mqttv3.1) on its configured paths, by default / and /mqtt.
";
const METHOD_NOT_ALLOWED: &str = "Only GET and HEAD are answered here.\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// What every answer carries besides its own headers.
const ALWAYS: [(HeaderName, &str); 4] = [
    (http::header::CONTENT_SECURITY_POLICY, page::POLICY),
    (http::header::REFERRER_POLICY, "no-referrer"),
    (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (http::header::X_FRAME_OPTIONS, "DENY"),
];

/// What can be told; asked for only what is looked at.
pub trait Source {
    /// How the broker is.
    fn health(&self) -> Health;

    /// Everything that is counted; `None` where that is nobody's business.
    fn metrics(&self) -> Option<Metrics>;
}

/// Answers an ordinary HTTP request, one that does not ask for a WebSocket.
///
/// The query string plays no part. A HEAD request gets the headers of the GET, Content-Length
/// included, and no body.
pub fn respond(request: &Request<()>, source: &impl Source) -> Response<Bytes> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => resource(request.uri().path(), source),
        _ => method_not_allowed(),
    };
    let length = HeaderValue::from(response.body().len());
    response.headers_mut().insert(CONTENT_LENGTH, length);
    if request.method() == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

fn resource(path: &str, source: &impl Source) -> Response<Bytes> {
    if path == "/healthz" {
        let health = source.health();
        // Whoever only looks at the status has to see it too.
        let status = match health.keeps_up {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        return answer(status, "application/json", health.to_json());
    }
    if path == "/metrics"
        && let Some(metrics) = source.metrics()
    {
        return answer(StatusCode::OK, metrics::CONTENT_TYPE, metrics.into_page());
    }
    match page::file(path) {
        Some((kind, text)) => answer(StatusCode::OK, kind, text),
        None => answer(StatusCode::NOT_FOUND, TEXT, NOT_FOUND),
    }
}

fn method_not_allowed() -> Response<Bytes> {
    let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, METHOD_NOT_ALLOWED);
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const HEALTH: Health = Health {
        version: "1.2.3",
        uptime_seconds: 61,
        connections: 2,
        sessions: 3,
        keeps_up: true,
        certificate_not_after: None,
    };

    struct Broker {
        health: Health,
        shows_metrics: bool,
    }

    impl Source for Broker {
        fn health(&self) -> Health {
            self.health
        }

        fn metrics(&self) -> Option<Metrics> {
            let metrics = || metrics::tests::metrics(self.health);
            self.shows_metrics.then(metrics)
        }
    }

    const BROKER: Broker = Broker {
        health: HEALTH,
        shows_metrics: true,
    };

    fn ask(method: &str, target: &str) -> Response<Bytes> {
        ask_of(&BROKER, method, target)
    }

    fn ask_of(broker: &Broker, method: &str, target: &str) -> Response<Bytes> {
        let request = Request::builder().method(method).uri(target).body(());
        respond(&request.expect("a request"), broker)
    }

    #[test]
    fn metrics_are_shown_where_that_is_said() {
        let response = ask("GET", "/metrics");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(text(&response).contains("weir_connections 2\n"));
        let shy = Broker {
            shows_metrics: false,
            ..BROKER
        };
        let response = ask_of(&shy, "GET", "/metrics");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }

    fn text(response: &Response<Bytes>) -> &str {
        std::str::from_utf8(response.body()).expect("a text body")
    }

    #[test]
    fn health_is_one_json_object() {
        let response = ask("GET", "/healthz?verbose");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let expected = "{\"status\":\"ok\",\"version\":\"1.2.3\",\"uptime_seconds\":61,\"connections\":2,\"sessions\":3}\n";
        assert_eq!(text(&response), expected);
    }

    #[test]
    fn health_turns_red_when_the_store_is_full() {
        let health = Health {
            keeps_up: false,
            ..HEALTH
        };
        let broker = Broker { health, ..BROKER };
        let response = ask_of(&broker, "GET", "/healthz");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(&response).starts_with("{\"status\":\"store full\","));
    }

    #[test]
    fn the_page_is_served_at_the_root() {
        let response = ask("GET", "/?client=1");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(text(&response).contains("<title>Weir: try it</title>"));
    }

    #[test]
    fn everything_the_page_refers_to_is_served() {
        let page = ask("GET", "/");
        let references = text(&page)
            .split('"')
            .filter(|word| word.starts_with("/page/"));
        let statuses: Vec<_> = references.map(|path| ask("GET", path).status()).collect();
        assert_eq!(statuses, [StatusCode::OK; 4]);
        assert_eq!(ask("GET", "/page/mqtt.js").status(), StatusCode::OK);
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for path in ["/", "/page/page.js", "/page/mqtt.js", "/page/style.css"] {
            let response = ask("GET", path);
            assert!(!text(&response).contains("http:"), "{path}");
            assert!(!text(&response).contains("https://"), "{path}");
            let policy = &response.headers()[http::header::CONTENT_SECURITY_POLICY];
            let policy = policy.to_str().expect("a text policy");
            assert!(policy.contains("script-src 'self';"), "{policy}");
            assert!(policy.contains("connect-src 'self' ws: wss:;"), "{policy}");
        }
    }

    #[test]
    fn head_has_the_headers_of_get_and_no_body() {
        for path in ["/", "/healthz", "/metrics", "/absent"] {
            let (get, head) = (ask("GET", path), ask("HEAD", path));
            assert_eq!(head.status(), get.status());
            assert_eq!(head.headers(), get.headers());
            assert_eq!(head.headers()[CONTENT_LENGTH], get.body().len().to_string());
            assert!(head.body().is_empty());
        }
    }

    #[test]
    fn an_unknown_path_is_told_what_exists() {
        let response = ask("GET", "/page/../secret");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[CONTENT_TYPE], TEXT);
        assert!(text(&response).contains("/healthz"));
        assert!(text(&response).contains("/mqtt"));
    }

    #[test]
    fn other_methods_are_refused_and_told_which_exist() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let response = ask(method, "/healthz");
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
            assert!(!response.body().is_empty());
        }
    }
}
