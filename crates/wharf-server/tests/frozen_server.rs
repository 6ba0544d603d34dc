//! The server's process is stopped and goes on: nobody who is alive may die of that, and nobody who is dead may live by
//! it. The same on simulated time: `crates/wharf/tests/simulation/freezing.rs`.

mod common;

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, eventually,
    poll::Poll,
    server::{Server, Setup},
    socket::Address,
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime::Builder,
    sync::oneshot,
};

const MEMBERS: usize = 1_000;

/// When the first connection has ended that the ledger knows of, by the calendar, in milliseconds.
fn first_end(server: &Server) -> Option<u64> {
    let answer = server.api("connections", &json!({"ended": true}));
    answer["ended"].as_array()?.last()?["ended_at"].as_u64()
}

/// Longer than every time that a peer has, so that all of them would run out meanwhile.
const FREEZE: Duration = Duration::from_secs(8);
const PING_AND_PONG: Duration = Duration::from_secs(3);

const JOIN: &str = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"harbour\"}}\n";

fn tcp(server: &Server) -> String {
    match server.address() {
        Address::Tcp(address) => address.clone(),
        other => panic!("{other:?}"),
    }
}

/// Joins over JSON lines and answers every ping until the server ends it.
async fn member(address: String) -> std::io::Result<()> {
    let (reading, mut writing) = TcpStream::connect(address).await?.into_split();
    writing.write_all(JOIN.as_bytes()).await?;
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await? {
        if line == "{}" {
            writing.write_all(b"{}\n").await?;
        }
    }
    Ok(())
}

/// The members, on a thread of their own.
struct Crowd {
    ended: Arc<AtomicUsize>,
    _until: oneshot::Sender<()>,
}

impl Crowd {
    fn join(server: &Server) -> Self {
        let address = tcp(server);
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        let (until, over) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            for _ in 0..MEMBERS {
                let (count, address) = (Arc::clone(&count), address.clone());
                runtime.spawn(async move {
                    let end = member(address).await;
                    println!("a member ended: {end:?}");
                    count.fetch_add(1, SeqCst);
                });
            }
            // The tasks end with the runtime, when nobody has the crowd any more.
            runtime.block_on(over).ok();
        });
        Self { ended, _until: until }
    }

    /// How many the server has ended.
    fn ended(&self) -> usize {
        self.ended.load(SeqCst)
    }
}

fn present(server: &Server) -> u64 {
    server.api("presence_stats", &json!({"channel": "harbour"}))["num_clients"].as_u64().expect("a number")
}

// Row 51.
#[test]
fn of_a_thousand_members_none_dies_of_a_stop_and_one_that_died_meanwhile_is_found_in_time() {
    let server =
        [("PING_INTERVAL", "2s"), ("PONG_TIMEOUT", "1s"), ("PRESENCE_LEASE", "6s"), ("PRESENCE_RENEW", "1s")]
            .into_iter()
            .fold(Setup::new().arguments("--workers 2"), |setup, (name, value)| {
                setup.variable(&format!("WHARF_TIMES__{name}"), value)
            })
            .start();
    let mut early = server.address().open();
    early.write_all(JOIN.as_bytes()).expect("the server reads");
    eventually("it has joined", PATIENCE, || present(&server) == 1);
    drop(early);
    eventually("it has ended", PATIENCE, || first_end(&server).is_some());
    let ended_at = first_end(&server);
    let crowd = Crowd::join(&server);
    eventually("all have joined", PATIENCE, || present(&server) == MEMBERS as u64);
    let mut poller = Poll::open(server.address());
    poller.ask(0, "{\"id\":1,\"connect\":{}}").expect("a session");
    // Joins, and says nothing more: it is alive until the stop, and dead after it.
    let mut victim = server.address().open();
    victim.write_all(JOIN.as_bytes()).expect("the server reads");
    eventually("the last has joined", PATIENCE, || present(&server) == MEMBERS as u64 + 1);

    server.signal("STOP");
    // tidy: sleeps because a process that is stopped does nothing that could be waited for.
    thread::sleep(FREEZE);
    server.signal("CONT");
    let thawed = Instant::now();

    assert_eq!(present(&server), MEMBERS as u64 + 1, "nobody is gone at once");
    poller.ask(0, "").expect("its lease did not run while nobody could renew it");
    let mut victim_gone = None;
    eventually("the time of every heartbeat has passed", PING_AND_PONG * 4, || {
        let count = present(&server);
        if victim_gone.is_some() || count != MEMBERS as u64 + 1 {
            assert_eq!(count, MEMBERS as u64, "{:?} after the stop", thawed.elapsed());
            victim_gone.get_or_insert(thawed.elapsed());
        }
        assert_eq!(crowd.ended(), 0, "{:?} after the stop", thawed.elapsed());
        thawed.elapsed() > PING_AND_PONG * 2
    });
    let victim_gone = victim_gone.expect("the dead is found");
    assert!(victim_gone < PING_AND_PONG + Duration::from_millis(1_500), "{victim_gone:?}");
    assert!(server.metric("wharf_stood_still_milliseconds_total") >= 5_000);
    assert!(server.log().contains("stood still"), "the operator is told");
    assert_eq!(first_end(&server), ended_at, "a stop changes nothing of what was before it");
}

/// A request that asks for the end of its connection.
fn last_request(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: of-the-tests\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

// Row 51: the kernel interrupts whoever goes on after a stop, and timers come before anything was read.
#[test]
fn what_came_during_a_stop_is_read_before_it_is_called_late() {
    let server = ["FIRST_BYTE", "HTTP_HEAD", "HTTP_IDLE"]
        .into_iter()
        .fold(Setup::new().arguments("--workers 1"), |setup, name| {
            setup.variable(&format!("WHARF_TIMES__{name}"), "2s")
        })
        .start();
    let info = last_request("/api/info", "{}");
    let publish = last_request("/api/publish", r#"{"channel":"harbour","data":"a ship has come in"}"#);
    // How much of the request is there before the stop: nothing, some of the head, some of the body.
    let cuts = [(&info, 0), (&info, 30), (&publish, publish.len() - 10)];
    let mut waiting: Vec<_> = (0..12)
        .map(|number| {
            let (request, cut) = cuts[number % cuts.len()];
            let mut socket = server.address().open();
            socket.send(&request[..cut]);
            (socket, &request[cut..])
        })
        .collect();
    // One that has been answered, and is idle since.
    let mut idle = server.address().open();
    idle.send(info.replace("Connection: close\r\n", ""));
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    waiting.push((idle, &info));

    server.signal("STOP");
    for (socket, rest) in &mut waiting {
        socket.send(rest);
    }
    // tidy: sleeps because a process that is stopped does nothing that could be waited for.
    thread::sleep(FREEZE);
    server.signal("CONT");

    for (mut socket, rest) in waiting {
        let answer = String::from_utf8(socket.rest()).expect("text");
        assert!(answer.contains("HTTP/1.1 200"), "{rest:?}: {answer}");
    }
}
