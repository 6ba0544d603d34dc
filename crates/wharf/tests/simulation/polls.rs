use rand::RngExt;
use tokio::sync::oneshot::{self, Receiver};
use wharf::{
    settings::Settings,
    worker::{PollAnswer, PollRequest, SessionKey, ToWorker},
};
use wharf_core::{session::Heartbeat, testing::link::LinkOptions};
use wharf_proto::{
    dialect::centrifuge_json::client::{answer::ServerMessage, decode_frame, encode_command},
    message::{Command, Request},
};

use super::{
    client::{CHANNEL, Progress},
    world::{Machine, Shape},
};

fn machine(seed: u64) -> Machine {
    Machine::plain(seed, Settings::development())
}

fn ask(
    machine: &Machine,
    session: Option<SessionKey>,
    ack: Option<u64>,
    body: &str,
    wait_ms: u64,
) -> Receiver<PollAnswer> {
    let (answer, receiver) = oneshot::channel();
    let worker = session.map_or(0, |session| session.worker);
    let body = body.to_owned().into();
    machine.send(worker.into(), ToWorker::Poll(PollRequest { session, ack, body, wait_ms, answer }));
    receiver
}

fn lines(answer: PollAnswer) -> (SessionKey, u64, String) {
    match answer {
        PollAnswer::Lines { session, seq, body } => (session, seq, String::from_utf8(body.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn answered(machine: &mut Machine, mut receiver: Receiver<PollAnswer>) -> (SessionKey, u64, String) {
    machine.steps(2);
    lines(receiver.try_recv().expect("the poll is answered"))
}

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;
const CONNECT_AND_SUBSCRIBE: &str =
    "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n";

fn connected(machine: &mut Machine) -> SessionKey {
    let receiver = ask(machine, None, None, CONNECT_AND_SUBSCRIBE, 0);
    let (session, seq, body) = answered(machine, receiver);
    assert_eq!((seq, body.lines().count()), (1, 2), "{body}");
    session
}

// Row 68.
#[test]
fn of_two_polls_on_one_session_the_older_is_answered_empty_and_the_newer_waits() {
    let mut machine = machine(1);
    let session = connected(&mut machine);
    let older = ask(&machine, Some(session), None, "", 25_000);
    machine.steps(10);
    let mut newer = ask(&machine, Some(session), None, "", 25_000);
    assert_eq!(answered(&mut machine, older).2, "");
    assert!(newer.try_recv().is_err());
    machine.publish(CHANNEL, "7".to_owned());
    assert!(answered(&mut machine, newer).2.contains("\"data\":7"));
}

// Row 68.
#[test]
fn a_guessed_session_is_refused() {
    let mut machine = machine(2);
    let session = connected(&mut machine);
    for guess in [
        SessionKey { secret: session.secret ^ 1, ..session },
        SessionKey { entry: session.entry + 1, ..session },
        SessionKey { entry: session.entry + (1 << 32), ..session },
        SessionKey { secret: 0, ..session },
    ] {
        let mut receiver = ask(&machine, Some(guess), None, "", 0);
        machine.steps(2);
        assert!(matches!(receiver.try_recv(), Ok(PollAnswer::UnknownSession)));
    }
    let (answer, mut known) = oneshot::channel();
    machine.send(0, ToWorker::Emulate { session, data: CONNECT.into(), answer });
    machine.steps(2);
    assert_eq!(known.try_recv(), Ok(false), "a poll session takes no commands by the side door");
}

#[test]
fn an_empty_poll_waits_its_time_and_no_more() {
    let mut machine = machine(3);
    let session = connected(&mut machine);
    let now = ask(&machine, Some(session), None, "", 0);
    assert_eq!(answered(&mut machine, now).2, "");
    let mut waiting = ask(&machine, Some(session), None, "", 5_000);
    machine.pass_ms(4_900);
    assert!(waiting.try_recv().is_err());
    machine.pass_ms(200);
    assert_eq!(lines(waiting.try_recv().unwrap()).2, "");
    let mut too_long = ask(&machine, Some(session), None, "", 1_000_000);
    machine.pass_ms(59_000);
    assert!(too_long.try_recv().is_err());
    machine.pass_ms(1_200);
    assert!(too_long.try_recv().is_ok(), "more than a minute is taken as a minute");
}

#[test]
fn an_answer_that_is_not_acknowledged_is_said_again_in_front_of_what_is_new() {
    let mut machine = machine(4);
    let session = connected(&mut machine);
    machine.publish(CHANNEL, "1".to_owned());
    let first = ask(&machine, Some(session), Some(1), "", 1_000);
    let (_, seq, lost) = answered(&mut machine, first);
    assert!(seq == 2 && lost.contains("\"data\":1"), "{lost}");
    machine.publish(CHANNEL, "2".to_owned());
    machine.steps(2);
    let again = ask(&machine, Some(session), Some(1), "", 1_000);
    let (_, seq, body) = answered(&mut machine, again);
    assert!(seq == 3 && body.starts_with(&lost) && body.contains("\"data\":2"), "{body}");
    let acknowledged = ask(&machine, Some(session), Some(3), "", 0);
    assert_eq!(answered(&mut machine, acknowledged).2, "");
}

#[test]
fn an_answer_whose_request_is_gone_waits_for_the_next() {
    let mut machine = machine(5);
    let session = connected(&mut machine);
    drop(ask(&machine, Some(session), None, "", 25_000));
    machine.steps(2);
    machine.publish(CHANNEL, "1".to_owned());
    machine.steps(2);
    let next = ask(&machine, Some(session), None, "", 0);
    assert!(answered(&mut machine, next).2.contains("\"data\":1"));
}

#[test]
fn the_first_poll_must_hold_a_connect_that_can_be_read() {
    let mut machine = machine(6);
    for body in ["", "\n\n", "{", r#"{"id":1}"#] {
        let mut receiver = ask(&machine, None, None, body, 0);
        machine.steps(2);
        match receiver.try_recv() {
            Ok(PollAnswer::Refused(disconnect)) => assert_eq!(disconnect.code, 3501, "{body:?}"),
            other => panic!("{body:?}: {other:?}"),
        }
    }
    assert_eq!(machine.connections(), 0);
}

#[test]
fn a_session_that_ends_says_why_and_is_then_unknown() {
    let mut machine = machine(7);
    let session = connected(&mut machine);
    let mut ended = ask(&machine, Some(session), None, r#"{"send":{"data":1}}"#, 0);
    machine.steps(2);
    match ended.try_recv() {
        Ok(PollAnswer::Ended { body }) => {
            assert!(String::from_utf8_lossy(&body).contains("3508"), "{body:?}")
        }
        other => panic!("{other:?}"),
    }
    let mut after = ask(&machine, Some(session), None, "", 0);
    machine.steps(2);
    assert!(matches!(after.try_recv(), Ok(PollAnswer::UnknownSession)));
    assert_eq!((machine.connections(), machine.present(CHANNEL)), (0, 0));
}

// Row 98.
#[test]
fn a_poller_that_asks_no_more_is_gone_within_its_lease_and_leaves_once() {
    let mut machine = machine(8);
    let options = LinkOptions { capacity: 1 << 20, splits: false };
    let (mut witness, _link) =
        machine.dial(1, options, Shape { heartbeat: Heartbeat::PingOnly, ..Shape::lines() });
    let commands = concat!(
        r#"{"id":1,"connect":{}}"#,
        "\n",
        r#"{"id":2,"subscribe":{"channel":"news","join_leave":true}}"#,
        "\n"
    );
    witness.try_write(&[std::io::IoSlice::new(commands.as_bytes())]).unwrap();
    machine.steps(2);
    let session = connected(&mut machine);
    machine.steps(1_100);
    let kept = ask(&machine, Some(session), None, "", 0);
    answered(&mut machine, kept);
    machine.steps(5_900);
    assert_eq!(machine.present(CHANNEL), 2, "the lease runs from the last answer");
    machine.steps(200);
    assert_eq!((machine.present(CHANNEL), machine.connections()), (1, 1));
    let mut heard = vec![0; 1 << 20];
    let count = witness.try_read(&mut heard).unwrap();
    let heard = String::from_utf8_lossy(&heard[..count]).into_owned();
    let poller = heard.split("\"join\"").nth(2).and_then(|join| join.split("\"client\":\"").nth(1));
    let poller = &poller.expect("the poller joined after the witness")[..36];
    let leaves = heard.split("\"leave\"").skip(1).filter(|leave| leave.contains(poller)).count();
    assert_eq!(leaves, 1, "{heard}");
}

// Row 68.
#[test]
fn recovers_under_a_thousand_cuts_by_polling() {
    let (mut cuts, mut seed) = (0, 0);
    while cuts < 1_000 {
        cuts += poll_under_cuts(seed);
        seed += 1;
    }
}

/// Pollers that lose answers, and whole sessions; how often.
fn poll_under_cuts(seed: u64) -> usize {
    let mut settings = Settings::development();
    settings.namespaces.without_namespace.history.size = 10_000;
    let mut machine = Machine::plain(seed, settings);
    let mut pollers: Vec<Poller> = (0..4).map(|_| Poller::default()).collect();
    let (mut published, mut cuts) = (0, 0);
    for step in 0..800 {
        if step < 600 && machine.rng.random_bool(0.3) {
            published += 1;
            machine.publish(CHANNEL, published.to_string());
        }
        for poller in &mut pollers {
            cuts += poller.step(&mut machine, step < 600);
        }
        machine.step();
    }
    for poller in &pollers {
        poller.progress.check_whole(published, &format!("poller, seed {seed}"));
    }
    cuts
}

#[derive(Default)]
struct Poller {
    session: Option<SessionKey>,
    seq: u64,
    waiting: Option<Receiver<PollAnswer>>,
    progress: Progress,
}

impl Poller {
    fn step(&mut self, machine: &mut Machine, troubled: bool) -> usize {
        let mut troubles = |chance: f64| usize::from(troubled && machine.rng.random_bool(chance));
        let Some(waiting) = &mut self.waiting else {
            let mut body = String::new();
            if self.session.is_none() {
                self.seq = 0;
                let subscribe = Request::Subscribe(Box::new(self.progress.wish()));
                let mut command = bytes::BytesMut::new();
                encode_command(&Command { id: 2, request: subscribe }, &mut command).unwrap();
                body = format!("{CONNECT}\n{}", std::str::from_utf8(&command).unwrap());
            }
            let ack = self.session.map(|_| self.seq);
            self.waiting = Some(ask(machine, self.session, ack, &body, 500));
            return 0;
        };
        let Ok(answer) = waiting.try_recv() else {
            // The request is cut off while it waits; the session lives on, if the client knows it already.
            let cut = troubles(0.03);
            if cut > 0 {
                self.waiting = None;
            }
            return cut;
        };
        self.waiting = None;
        // The answer is lost on its way, or the client forgets its session.
        let cut = troubles(0.2);
        if cut > 0 {
            return cut;
        }
        let (session, seq, body) = lines(answer);
        (self.session, self.seq) = (Some(session), seq);
        self.hear(&body);
        let forgets = troubles(0.05);
        if forgets > 0 {
            self.session = None;
        }
        forgets
    }

    fn hear(&mut self, body: &str) {
        let mut said = Vec::new();
        decode_frame(body.as_bytes(), &mut said).unwrap();
        for message in said {
            match message {
                ServerMessage::Reply { id: 2, result: Ok(reply) } => {
                    self.progress.hear_subscribed(&reply.subscribe.unwrap());
                }
                ServerMessage::Push(push) => self.progress.hear(push.publication.as_ref().unwrap()),
                _ => {}
            }
        }
    }
}
