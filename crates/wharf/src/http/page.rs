//! `/`: what runs here, for whoever opens the address in a browser.

use super::{
    VERSION,
    answer::{self, Answer},
};
use crate::node::Node;

const ADDRESSES: &[(&str, &str)] = &[
    ("/connection/websocket", "WebSocket, for the Centrifuge SDKs"),
    ("/connection/sse, /connection/http_stream", "server push over HTTP; commands go to /emulation"),
    ("/connection/uni_websocket, uni_sse, uni_http_stream", "from server to client only"),
    ("/connection/poll?wait=25", "short and long polling, by POST"),
    ("/events?channel=NAME", "a plain EventSource"),
    ("/api/METHOD", "the server API, by POST"),
    ("/health, /metrics", "for operators"),
    ("no path, first byte {", "JSON lines over bare TCP, on this port"),
];

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;\
    color:#123}code{background:#eef2f5;padding:.1em .3em;border-radius:3px}td{padding:.2rem 1rem .2rem 0;\
    vertical-align:top}.warning{background:#fff3cd;padding:.7rem 1rem;border-radius:4px}";

/// The page. Holds nothing of the request's, and no secret.
pub fn answer(node: &Node) -> Answer {
    let rows: String = ADDRESSES
        .iter()
        .map(|(address, what)| format!("<tr><td><code>{address}</code></td><td>{what}</td></tr>\n"))
        .collect();
    let warning = if node.settings.development {
        "<p class=\"warning\"><b>Development mode.</b> Anybody who reaches this address may connect, subscribe, \
         publish and use the API; only pages and names of this machine are served.</p>\n"
    } else {
        ""
    };
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Wharf</title>\n\
         <style>{STYLE}</style>\n<h1>Wharf {VERSION}</h1>\n\
         <p>One realtime server for every kind of connection: the same channels, whichever way a client comes.</p>\n\
         {warning}<table>\n{rows}</table>\n</html>\n"
    );
    let mut answer = answer::whole(200, "text/html; charset=utf-8", page);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    answer
        .headers_mut()
        .insert(http::header::CONTENT_SECURITY_POLICY, http::HeaderValue::from_static(policy));
    answer
}
