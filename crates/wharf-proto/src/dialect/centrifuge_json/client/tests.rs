use super::{answer::decode_bare_frame, *};
use crate::message::Data;

fn read(frame: &str) -> Vec<ServerMessage> {
    let mut messages = Vec::new();
    decode_frame(frame.as_bytes(), &mut messages).unwrap();
    messages
}

#[test]
fn reads_a_connect_reply_and_a_publication_of_one_frame() {
    let messages = read(concat!(
        r#"{"id":1,"connect":{"client":"c","ping":25,"pong":true,"future":[1],"subs":{"a":{"offset":4,"epoch":"xyz"}}}}"#,
        "\n",
        r#"{"push":{"channel":"a","pub":{"data":{"n": 1},"offset":5,"info":{"user":"u","client":"d"}}}}"#,
        "\n{}\n",
    ));
    let [ServerMessage::Reply { id: 1, result: Ok(reply) }, ServerMessage::Push(push), ServerMessage::Ping] =
        &messages[..]
    else {
        panic!("{messages:?}");
    };
    let connected = reply.connect.as_ref().unwrap();
    assert_eq!((connected.ping, connected.pong, connected.subs["a"].offset), (25, true, 4));
    let publication = push.publication.as_ref().unwrap();
    assert_eq!(publication.data.as_ref().unwrap().get(), r#"{"n": 1}"#);
    assert_eq!((push.channel.as_str(), publication.offset), ("a", 5));
    assert_eq!(publication.info.as_ref().unwrap().user, "u");
}

#[test]
fn reads_an_error_and_a_disconnect() {
    let messages = read("{\"id\":2,\"error\":{\"code\":111,\"message\":\"m\",\"temporary\":true}}");
    let ServerMessage::Reply { id: 2, result: Err(error) } = &messages[0] else { panic!("{messages:?}") };
    assert_eq!((error.code, error.temporary, error.to_string().as_str()), (111, true, "111 m"));
    let messages = read(r#"{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}"#);
    let ServerMessage::Push(push) = &messages[0] else { panic!("{messages:?}") };
    assert_eq!(push.disconnect.as_ref().unwrap().code, 3001);
}

#[test]
fn reads_bare_pushes() {
    let mut messages = Vec::new();
    decode_bare_frame(b"{\"channel\":\"a\",\"join\":{\"info\":{\"user\":\"u\"}}}\n{}\n", &mut messages)
        .unwrap();
    let [ServerMessage::Push(push), ServerMessage::Ping] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(push.join.as_ref().unwrap().info.user, "u");
}

#[test]
fn what_no_server_says_is_an_error() {
    for frame in [&b"nonsense"[..], b"{\"id\":\"x\"}", b"\xff"] {
        assert!(decode_frame(frame, &mut Vec::new()).is_err());
    }
}

#[test]
fn binary_data_cannot_be_asked_in_json_and_leaves_the_buffer_as_it_was() {
    let mut out = BytesMut::from(&b"before"[..]);
    let request = Request::Send { data: Data::Binary("x".into()) };
    assert_eq!(encode_command(&Command { id: 0, request }, &mut out), Err(Inexpressible));
    assert_eq!(&out[..], b"before");
}

#[test]
fn a_pong_is_the_empty_command() {
    let (mut pong, mut command) = (BytesMut::new(), BytesMut::new());
    encode_pong(&mut pong);
    encode_command(&Command { id: 0, request: Request::Pong }, &mut command).unwrap();
    assert_eq!((&pong[..], pong == command), (&b"{}"[..], true));
}
