//! Wharf's own client of WebSocket under npm `ws` and PyPI `websockets`, which nobody here wrote, as servers.

mod common;

use std::process::{Command, Stdio};

use common::{
    program::{Running, wharf},
    suite,
};
use serde_json::{Value, json};
use wharf::client::{
    LinkError, ServerAddress, WebsocketOptions,
    link::{Incoming, WebsocketLink},
};
use wharf_proto::{
    websocket::{
        CloseCode,
        deflate::{DeflateOffer, WindowBits},
    },
    wire::MessageKind,
};

/// A foreign server, which ends with this value.
struct Judge {
    process: Running,
    address: String,
}

impl Judge {
    /// npm `ws`.
    fn javascript() -> Self {
        let mut command = Command::new("node");
        command.arg(suite::script("js/websocket_server.mjs"));
        command.env("WHARF_JUDGES_JS", suite::folder("WHARF_JUDGES_JS"));
        Self::start(command)
    }

    /// PyPI `websockets`.
    fn python() -> Self {
        let mut command = Command::new(suite::folder("WHARF_JUDGES_PYTHON").join("bin/python"));
        command.arg(suite::script("python/websocket_server.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = Running::start(command);
        let line = process.line();
        let address = line.strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("the server said {line:?}")).to_owned();
        Self { process, address }
    }

    async fn open(&self, target: &str, options: &WebsocketOptions) -> Result<WebsocketLink, LinkError> {
        let address = format!("ws://{}", self.address).parse();
        let ServerAddress { endpoint, .. } = address.expect("an address of this machine");
        WebsocketLink::open(&endpoint, Some(target), options).await
    }

    /// The end of the connection that ended last, as the server saw it: its code and reason.
    fn saw(&self) -> (u64, String) {
        let end = self.process.event();
        assert!(end["error"].is_null(), "the server found a fault: {end}");
        (end["code"].as_u64().expect("a code"), end["reason"].as_str().expect("a reason").to_owned())
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// The next message; pings and pongs are passed over.
async fn message(link: &mut WebsocketLink) -> Result<(MessageKind, Vec<u8>), LinkError> {
    loop {
        if let Incoming::Message(kind, message) = link.receive().await? {
            return Ok((kind, message.to_vec()));
        }
    }
}

/// Sends each message, and expects it back; then closes.
async fn echoes(link: &mut WebsocketLink, messages: &[(MessageKind, Vec<u8>)]) -> Result<(), LinkError> {
    for (kind, payload) in messages {
        link.send_message(*kind, payload).await?;
        let (came, back) = message(link).await?;
        let same = came == *kind && back == *payload;
        assert!(same, "{} bytes of {kind:?} came back as {} of {came:?}", payload.len(), back.len());
    }
    link.close_with(CloseCode::new(4000).expect("it may be sent"), "enough").await;
    Ok(())
}

/// Some that compress and some that do not, and some that repeat what came before.
fn messages(longest: usize) -> Vec<(MessageKind, Vec<u8>)> {
    let prose = |bytes| "all ships dock at the same wharf, ".repeat(bytes / 34 + 1).into_bytes();
    let mut state = 1_u32;
    let mut noise = |bytes: usize| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..bytes).map(|_| next()).collect::<Vec<u8>>()
    };
    let text = [prose(1_000), prose(1_000), Vec::new(), "Zoë 東京 🚢".into(), prose(longest), prose(1_000)];
    let binary = [Vec::new(), noise(3_000), noise(longest), prose(40_000)];
    let text = text.into_iter().map(|payload| (MessageKind::Text, payload));
    text.chain(binary.into_iter().map(|payload| (MessageKind::Binary, payload))).collect()
}

/// What both servers are asked alike.
fn judges_the_client(judge: &Judge) {
    let plain = WebsocketOptions::default();
    block_on(async {
        for (target, longest) in [("/echo", 900_000), ("/fragments", 90_000)] {
            let mut link = judge.open(target, &plain).await.expect("the handshake succeeds");
            assert!(!link.compresses() && link.subprotocol().is_none());
            echoes(&mut link, &messages(longest)).await.unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!(judge.saw(), (4000, "enough".into()), "{target}");
        }
        for code in [1000, 1001, 1008, 1011, 3000, 4999] {
            let mut link = judge.open(&format!("/close?code={code}&reason=bye"), &plain).await.expect("open");
            let ending = link.receive().await.expect_err("the server closes").into_ending();
            assert_eq!((ending.code, ending.reason.as_str()), (code, "bye"));
            drop(link); // Our end of TCP, for which the server waits.
            assert_eq!(judge.saw().0, u64::from(code), "our answer holds the server's code");
        }
        let subprotocols = vec!["centrifuge-json".to_owned(), "chat".to_owned()];
        let options = WebsocketOptions { subprotocols, ..WebsocketOptions::default() };
        let mut link = judge.open("/echo", &options).await.expect("the handshake succeeds");
        assert_eq!(link.subprotocol(), Some("chat"));
        link.close().await;
        assert_eq!(judge.saw(), (1000, String::new()));
    });
}

#[test]
fn npm_ws_finds_no_fault_with_the_client() {
    let judge = Judge::javascript();
    judges_the_client(&judge);
    let refused = block_on(judge.open("/refuse?status=503", &WebsocketOptions::default()));
    let error = refused.err().expect("the server refuses").to_string();
    assert!(error.contains("503") && error.contains("not today"), "{error}");
}

#[test]
fn pypi_websockets_finds_no_fault_with_the_client() {
    judges_the_client(&Judge::python());
}

/// Windows of the least, a middle and the most bits.
const WINDOWS: [u8; 3] = [9, 12, 15];

/// Every combination of the four parameters, with these windows.
fn combinations<W: Copy>(windows: &[W]) -> Vec<(bool, bool, W, W)> {
    let switches = [(false, false), (false, true), (true, false), (true, true)];
    let of_switches = |(server, client): (bool, bool)| {
        windows.iter().flat_map(move |a| windows.iter().map(move |b| (server, client, *a, *b)))
    };
    switches.into_iter().flat_map(of_switches).collect()
}

/// Echoes with an offer of compression, which the server must have agreed to.
async fn compresses(judge: &Judge, target: &str, offer: DeflateOffer) {
    let options = WebsocketOptions { deflate: Some(offer), ..WebsocketOptions::default() };
    let mut link =
        judge.open(target, &options).await.unwrap_or_else(|error| panic!("{target} {offer:?}: {error}"));
    assert!(link.compresses(), "{target} {offer:?} was declined");
    let echoed = echoes(&mut link, &messages(20_000)).await;
    echoed.unwrap_or_else(|error| panic!("{target} {offer:?}: {error}"));
    assert_eq!(judge.saw(), (4000, "enough".into()), "{target} {offer:?}");
}

fn offers() -> impl Iterator<Item = DeflateOffer> {
    let window = |bits| WindowBits::new(bits).expect("a window");
    combinations(&WINDOWS).into_iter().map(move |(server, client, server_bits, client_bits)| DeflateOffer {
        server_no_context_takeover: server,
        client_no_context_takeover: client,
        server_max_window_bits: window(server_bits),
        client_max_window_bits: window(client_bits),
    })
}

/// Windows that a server may be set to; none is "not said".
const SET: [Option<u8>; 4] = [None, Some(9), Some(12), Some(15)];

#[test]
fn npm_ws_and_the_client_agree_on_compression_whatever_either_wants() {
    let judge = Judge::javascript();
    let target = |options: Value| {
        let text: String = options.to_string().replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        format!("/echo?deflate={text}")
    };
    block_on(async {
        for offer in offers() {
            compresses(&judge, &target(json!({"threshold": 0})), offer).await;
        }
        for (server, client, server_bits, client_bits) in combinations(&SET) {
            let mut options = json!({"threshold": 0});
            for (name, switch) in [("serverNoContextTakeover", server), ("clientNoContextTakeover", client)] {
                if switch {
                    options[name] = true.into();
                }
            }
            for (name, bits) in [("serverMaxWindowBits", server_bits), ("clientMaxWindowBits", client_bits)] {
                if let Some(bits) = bits {
                    options[name] = bits.into();
                }
            }
            compresses(&judge, &target(options), DeflateOffer::default()).await;
        }
    });
}

#[test]
fn pypi_websockets_and_the_client_agree_on_compression_whatever_either_wants() {
    let judge = Judge::python();
    block_on(async {
        let set = async |options: Value| {
            let text = options.to_string().replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
            let target = format!("/deflate?options={text}");
            let mut link = judge.open(&target, &WebsocketOptions::default()).await.expect("open");
            let _ = link.receive().await; // The server closes when it has understood.
            drop(link);
            assert_eq!(judge.saw().0, 1000);
        };
        set(json!({})).await;
        for offer in offers() {
            compresses(&judge, "/echo", offer).await;
        }
        for (server, client, server_bits, client_bits) in combinations(&SET) {
            set(json!({
                "server_no_context_takeover": server,
                "client_no_context_takeover": client,
                "server_max_window_bits": server_bits,
                "client_max_window_bits": client_bits,
            }))
            .await;
            compresses(&judge, "/echo", DeflateOffer::default()).await;
        }
    });
}

#[test]
fn wharf_connect_shows_what_a_foreign_server_says() {
    let judge = Judge::javascript();
    let url = format!("ws://{}/fragments?deflate=true", judge.address);
    let mut command = wharf(&["connect", &url, "--compress"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("wharf runs");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, b"ahoy\n").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout);
    for expected in
        ["messages are compressed", ">  text        ahoy", "<  ping frame  0", "<  text        ahoy"]
    {
        assert!(shown.contains(expected), "no {expected:?} in:\n{shown}");
    }
    assert_eq!(judge.saw(), (1000, String::new()));
}
