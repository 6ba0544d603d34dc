//! A page in headless Chromium, as Debian brings it.

mod common;

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use common::{certificate::Certificate, example::Echo, server::Setup, suite};

/// How many checks `judges/js/browser_suite.mjs` makes.
const CHECKS: usize = 12;

/// Serves an empty page at every path of a port of its own, which it returns.
fn serve_pages() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A browser opens connections in advance, so that none may wait for another.
            thread::spawn(move || serve_page(&stream));
        }
    });
    port
}

fn serve_page(mut stream: &TcpStream) {
    let head = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    if head.count() > 0 {
        let page = "<!doctype html><title>A page</title>";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
        // A browser that is gone needs no page.
        let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{page}", page.len());
    }
}

// Row 3.
#[test]
fn a_page_in_a_browser_connects_by_websocket_events_and_streams() {
    if suite::left_out("chromium") {
        return;
    }
    let port = serve_pages();
    let (allowed, strange) = (format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}"));
    let configuration = format!(
        "[compression]
         enabled = true
         [client]
         anonymous = true
         allowed_origins = [\"{allowed}\"]
         [channel.without_namespace]
         join_leave = true
         history_size = 100
         history_ttl = \"10m\"
         allow_subscribe_for_client = true
         allow_subscribe_for_anonymous = true
         allow_publish_for_client = true
         allow_publish_for_anonymous = true
         [rpc]
         echo = true
"
    );
    let certificate = Certificate::new(1);
    let server = Setup::new().configuration(&configuration).tls(&certificate).start();
    let echo = Echo::start();
    suite::javascript("browser_suite", &[&server.url(), &echo.url(), &allowed, &strange], CHECKS);
}
