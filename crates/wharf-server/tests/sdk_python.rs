//! PyPI `centrifuge-python` and `websockets`, which nobody here wrote.

mod common;

use common::{server::Setup, suite};

/// How many checks `judges/python/centrifuge_suite.py` makes.
const SDK_CHECKS: usize = 15;
/// How many checks `judges/python/websockets_suite.py` makes.
const WEBSOCKET_CHECKS: usize = 41;

#[test]
fn the_python_sdk_conforms() {
    let server = Setup::new().quick_pings().start();
    suite::python("centrifuge_suite", &[&server.url()], SDK_CHECKS);
}

// Rows 3, 4, 15-29.
#[test]
fn a_bare_websocket_client_finds_rfc_6455_and_the_close_codes() {
    let server = Setup::new().quick_pings().start();
    suite::python("websockets_suite", &[&server.url()], WEBSOCKET_CHECKS);
}
