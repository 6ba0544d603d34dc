//! The conversation against a server that is written out.

use super::*;

/// A conversation at a moment that the test decides.
struct Client {
    conversation: Conversation,
    now: Instant,
}

impl Client {
    /// A client that is in `channel`, with a position at offset 2.
    fn joined(channel: &str) -> Self {
        let mut client = Self::connected();
        client.conversation.subscribe(channel, SubscribeOptions::default(), client.now);
        client.sent();
        client.hear(
            r#"{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"abcdefgh","offset":2}}"#,
        );
        client.events();
        client
    }

    fn connected() -> Self {
        let mut client =
            Self { conversation: Conversation::new(ConnectRequest::default()), now: Instant::now() };
        client.conversation.handle_open(client.now);
        assert_eq!(client.sent(), r#"{"id":1,"connect":{}}"#);
        client.hear(r#"{"id":1,"connect":{"client":"c","version":"v","ping":25,"pong":true}}"#);
        assert_eq!(client.events(), ["connected c"]);
        client
    }

    fn try_hear(&mut self, frame: &str) -> Result<(), Ending> {
        self.conversation.handle_frame(frame.as_bytes(), self.now)
    }

    fn hear(&mut self, frame: &str) {
        self.try_hear(frame).expect("the connection lives on");
    }

    fn wait(&mut self, seconds: u64) -> Result<(), Ending> {
        self.now += Duration::from_secs(seconds);
        self.conversation.handle_timeout(self.now)
    }

    fn lose_and_reopen(&mut self) {
        self.conversation.handle_lost();
        self.conversation.handle_open(self.now);
        self.sent();
        let id = self.conversation.last_id;
        self.hear(&format!(r#"{{"id":{id},"connect":{{"client":"d","ping":25,"pong":true}}}}"#));
        assert_eq!(self.events(), ["connected d"]);
    }

    fn sent(&mut self) -> String {
        let bytes = self.conversation.poll_outgoing().unwrap_or_default();
        String::from_utf8(bytes.to_vec()).expect("commands are text")
    }

    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.conversation.poll_event()).map(|event| word(&event)).collect()
    }
}

fn word(event: &Event) -> String {
    match event {
        Event::Connected { client, .. } => format!("connected {client}"),
        Event::Subscribed { channel, recovered, was_recovering, position } => {
            let at =
                position.as_ref().map_or("nowhere".to_owned(), |at| format!("{}:{}", at.epoch, at.offset));
            format!("subscribed {channel} recovered={recovered} asked={was_recovering} at {at}")
        }
        Event::Unsubscribed { channel, code, .. } => format!("unsubscribed {channel} {code}"),
        Event::Publication { channel, publication } => {
            let data = publication.data.as_ref().map_or("", |data| data.get());
            format!("{channel}@{} {data}", publication.offset)
        }
        Event::Join { channel, info } => format!("join {channel} {}", info.client),
        Event::Leave { channel, info } => format!("leave {channel} {}", info.client),
        Event::Message { .. } => "message".to_owned(),
        Event::Answer { id, result } => match result {
            Ok(_) => format!("answer {id}"),
            Err(error) => format!("error {id} {}", error.code),
        },
        Event::Disconnected { ending } => format!("disconnected {}", ending.code),
    }
}

#[test]
fn subscribes_as_soon_as_it_is_connected() {
    let mut client =
        Client { conversation: Conversation::new(ConnectRequest::default()), now: Instant::now() };
    client.conversation.subscribe("news", SubscribeOptions::default(), client.now);
    assert_eq!(client.sent(), "", "nothing is sent without a connection");
    client.conversation.handle_open(client.now);
    client.sent();
    client.hear(r#"{"id":1,"connect":{"client":"c"}}"#);
    let sent = client.sent();
    assert!(
        sent.starts_with(r#"{"id":2,"subscribe":{"channel":"news""#) && !sent.contains("recover\":"),
        "{sent}"
    );
    client.hear(r#"{"id":2,"subscribe":{}}"#);
    assert_eq!(client.events(), ["connected c", "subscribed news recovered=false asked=false at nowhere"]);
}

#[test]
fn recovers_from_the_last_publication_that_it_saw() {
    let mut client = Client::joined("news");
    client.hear("{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":3,\"offset\":3}}}");
    assert_eq!(client.events(), ["news@3 3"]);
    client.lose_and_reopen();
    let sent = client.sent();
    assert!(sent.contains(r#""recover":true,"epoch":"abcdefgh","offset":3"#), "{sent}");
    client.hear(
        "{\"id\":4,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"abcdefgh\",\"offset\":3,\
         \"was_recovering\":true,\"recovered\":true,\"publications\":[{\"data\":4,\"offset\":4},{\"data\":5,\"offset\":5}]}}\n\
         {\"push\":{\"channel\":\"news\",\"pub\":{\"data\":6,\"offset\":6}}}",
    );
    assert_eq!(
        client.events(),
        ["subscribed news recovered=true asked=true at abcdefgh:3", "news@4 4", "news@5 5", "news@6 6"]
    );
}

#[test]
fn tells_that_a_position_is_lost_and_goes_on_from_the_new_one() {
    let mut client = Client::joined("news");
    client.lose_and_reopen();
    client.sent();
    client.hear(
        r#"{"id":4,"subscribe":{"recoverable":true,"epoch":"ijklmnop","offset":9,"was_recovering":true}}"#,
    );
    assert_eq!(client.events(), ["subscribed news recovered=false asked=true at ijklmnop:9"]);
    client.hear(r#"{"push":{"channel":"news","pub":{"data":1,"offset":10}}}"#);
    assert_eq!(client.events(), ["news@10 1"]);
    client.lose_and_reopen();
    assert!(client.sent().contains(r#""epoch":"ijklmnop","offset":10"#));
}

#[test]
fn a_publication_that_comes_twice_is_told_once() {
    let mut client = Client::joined("news");
    for _ in 0..2 {
        client.hear("{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"offset\":3}}}");
    }
    assert_eq!(client.events(), ["news@3 1"]);
}

#[test]
fn a_gap_ends_the_connection_so_that_the_next_recovers() {
    let mut client = Client::joined("news");
    let ending =
        client.try_hear(r#"{"push":{"channel":"news","pub":{"data":1,"offset":5}}}"#).expect_err("a gap");
    assert!(ending.reconnects && ending.reason.contains("after offset 2 of channel news came 5"), "{ending}");
    assert!(client.events().is_empty());
    client.lose_and_reopen();
    assert!(client.sent().contains(r#""offset":2"#));
}

#[test]
fn publications_without_offsets_are_all_told() {
    let mut client = Client::connected();
    client.conversation.subscribe("plain", SubscribeOptions::default(), client.now);
    client.hear(r#"{"id":2,"subscribe":{}}"#);
    client.hear("{\"push\":{\"channel\":\"plain\",\"pub\":{\"data\":1}}}\n{\"push\":{\"channel\":\"plain\",\"pub\":{\"data\":1}}}");
    assert_eq!(client.events()[1..], ["plain@0 1", "plain@0 1"]);
}

#[test]
fn starts_from_a_position_that_the_caller_has() {
    let mut client = Client::connected();
    let since = Some(Position { offset: 7, epoch: String::new() });
    client.conversation.subscribe("news", SubscribeOptions { join_leave: true, since }, client.now);
    let sent = client.sent();
    assert!(sent.contains(r#""recover":true,"offset":7"#) && sent.contains(r#""join_leave":true"#), "{sent}");
}

#[test]
fn answers_a_ping_only_where_a_pong_is_wanted() {
    let mut client = Client::connected();
    client.hear("{}");
    assert_eq!(client.sent(), "{}");
    let mut quiet =
        Client { conversation: Conversation::new(ConnectRequest::default()), now: Instant::now() };
    quiet.conversation.handle_open(quiet.now);
    quiet.sent();
    quiet.hear("{\"id\":1,\"connect\":{\"client\":\"c\",\"ping\":25}}\n{}");
    assert_eq!(quiet.sent(), "");
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let mut client = Client::connected();
    client.wait(34).expect("a ping may come until 35 s");
    client.hear("{}");
    client.wait(34).expect("anything heard counts");
    assert_eq!(client.conversation.poll_timeout(), Some(client.now + Duration::from_secs(1)));
    let ending = client.wait(1).expect_err("silence");
    assert!(ending.reconnects && ending.code == 2);
}

#[test]
fn an_attempt_that_came_to_nothing_is_not_waited_for() {
    let mut client =
        Client { conversation: Conversation::new(ConnectRequest::default()), now: Instant::now() };
    client.conversation.handle_open(client.now);
    client.now += Duration::from_secs(4);
    client.conversation.handle_open(client.now);
    client.sent();
    client.hear(r#"{"id":2,"connect":{"client":"c"}}"#);
    assert_eq!(client.conversation.poll_timeout(), None);
}

#[test]
fn a_command_without_an_answer_ends_the_connection() {
    let mut client = Client::connected();
    client.conversation.subscribe("news", SubscribeOptions::default(), client.now);
    let ending = client.wait(5).expect_err("no answer");
    assert!(ending.reconnects && ending.reason.contains("no answer to subscribe"), "{ending}");
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_later() {
    let mut client = Client::connected();
    client.conversation.subscribe("news", SubscribeOptions::default(), client.now);
    client.sent();
    client.hear(r#"{"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}"#);
    assert_eq!((client.sent().as_str(), client.events().len()), ("", 0));
    assert_eq!(client.conversation.poll_timeout(), Some(client.now + Duration::from_millis(500)));
    client.wait(1).expect("the connection lives on");
    assert!(client.sent().starts_with(r#"{"id":3,"subscribe":{"channel":"news""#));
}

#[test]
fn a_refusal_for_good_is_told_and_not_tried_again() {
    let mut client = Client::connected();
    client.conversation.subscribe("x:y", SubscribeOptions::default(), client.now);
    client.sent();
    client.hear(r#"{"id":2,"error":{"code":102,"message":"unknown channel"}}"#);
    assert_eq!(client.events(), ["unsubscribed x:y 102"]);
    client.lose_and_reopen();
    assert_eq!(client.sent(), "");
}

#[test]
fn joins_again_after_an_unsubscribe_that_asks_for_it() {
    let mut client = Client::joined("news");
    client.hear(r#"{"push":{"channel":"news","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#);
    assert_eq!(client.events(), ["unsubscribed news 2500"]);
    assert!(client.sent().contains(r#""recover":true,"epoch":"abcdefgh","offset":2"#));
    client.hear(r#"{"push":{"channel":"news","unsubscribe":{"code":2000,"reason":"server"}}}"#);
    assert_eq!(client.events(), ["unsubscribed news 2000"]);
    client.lose_and_reopen();
    assert_eq!(client.sent(), "", "2000 is final");
}

#[test]
fn a_disconnect_says_whether_to_come_back() {
    for (code, reconnects) in
        [(3001, true), (3012, true), (3500, false), (4200, true), (4500, false), (1009, false)]
    {
        let mut client = Client::connected();
        let push = format!(r#"{{"push":{{"disconnect":{{"code":{code},"reason":"r"}}}}}}"#);
        let ending = client.try_hear(&push).expect_err("the end");
        assert_eq!((ending.code, ending.reconnects), (code, reconnects));
    }
}

#[test]
fn a_connect_that_is_refused_for_good_is_not_tried_again() {
    for (error, reconnects) in [
        (r#"{"code":101,"message":"unauthorized"}"#, false),
        (r#"{"code":111,"message":"too many requests","temporary":true}"#, true),
    ] {
        let mut client =
            Client { conversation: Conversation::new(ConnectRequest::default()), now: Instant::now() };
        client.conversation.handle_open(client.now);
        let ending = client.try_hear(&format!(r#"{{"id":1,"error":{error}}}"#)).expect_err("refused");
        assert_eq!(ending.reconnects, reconnects, "{ending}");
    }
}

#[test]
fn a_request_is_answered_or_told_lost() {
    let mut client = Client::connected();
    let presence = |channel: &str| Request::Presence { channel: channel.into() };
    assert_eq!(client.conversation.request(presence("a"), client.now), Some(2));
    assert_eq!(client.conversation.request(presence("b"), client.now), Some(3));
    assert_eq!(client.sent().lines().count(), 2, "commands go one a line");
    client.hear(r#"{"id":2,"presence":{"presence":{}}}"#);
    client.conversation.handle_lost();
    assert_eq!(client.events(), ["answer 2", "error 3 1"]);
    assert_eq!(client.conversation.request(presence("c"), client.now), None);
}

#[test]
fn what_cannot_be_read_ends_the_connection_for_good_after_what_could() {
    let mut client = Client::joined("news");
    let ending = client
        .try_hear("{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":1,\"offset\":3}}}\nnonsense")
        .expect_err("nonsense");
    assert!(!ending.reconnects);
    assert_eq!(client.events(), ["news@3 1"]);
}

#[test]
fn joins_leaves_and_session_are_told() {
    let mut client = Client::joined("news");
    client.hear(
        "{\"push\":{\"channel\":\"news\",\"join\":{\"info\":{\"client\":\"x\"}}}}\n\
         {\"push\":{\"channel\":\"news\",\"leave\":{\"info\":{\"client\":\"x\"}}}}",
    );
    assert_eq!(client.events(), ["join news x", "leave news x"]);
    assert_eq!(client.conversation.session(), None);
    client.conversation.handle_lost();
    client.conversation.handle_open(client.now);
    let id = client.conversation.last_id;
    client.hear(&format!(r#"{{"id":{id},"connect":{{"client":"c","session":"s","node":"n"}}}}"#));
    assert_eq!(client.conversation.session(), Some(("s", "n")));
}
