//! What the generator says and hears: Centrifuge JSON in WebSocket frames, encoded before the run. What is heard is
//! read only so far as counting, time stamps and the opening of a connection need.

use memchr::{memchr, memmem};
use serde::Deserialize;

use super::{dial::Target, http};

/// Stands before the time stamp of a payload, and nowhere else in a message.
const STAMP_MARK: u8 = b'@';
/// A time stamp is written in so many hexadecimal digits.
const STAMP_DIGITS: usize = 16;

/// The shortest payload: a JSON string that holds a time stamp.
pub const LEAST_PAYLOAD_BYTES: usize = STAMP_DIGITS + 3;
/// The longest payload: with the envelope around it, it fits the server's default message of 64 KiB.
pub const MOST_PAYLOAD_BYTES: usize = 60_000;

/// The `id` of each kind of command. Clients' ids need not be unique.
pub const CONNECT_ID: u8 = b'1';
pub const SUBSCRIBE_ID: u8 = b'2';
pub const ECHO_ID: u8 = b'3';
pub const PUBLISH_ID: u8 = b'4';
/// Where that digit stands in a command.
pub const ID_AT: usize = b"{\"id\":".len();

/// What a channel's name begins with; its number follows.
pub const CHANNEL_PREFIX: &str = "bench-";

/// The most channels of a run. LIMITS.md: `MOST_CHANNELS`.
pub const MOST_CHANNELS: usize = 100_000;

/// The most channels of one connection: as many as Wharf and Centrifugo let a client have by default. LIMITS.md:
/// `MOST_SUBSCRIPTIONS`.
pub const MOST_SUBSCRIPTIONS: usize = 128;

/// The command that opens a session.
pub const CONNECT: &str = r#"{"id":1,"connect":{"name":"wharf-bench"}}"#;

/// The command that subscribes to the channel of this number, and recovers from a position where there is one.
pub fn subscribe(channel: u32, from: Option<&Position>) -> String {
    let from = from.map(|Position { offset, epoch }| {
        format!(r#","recover":true,"offset":{offset},"epoch":{}"#, serde_json::Value::from(epoch.as_str()))
    });
    let from = from.unwrap_or_default();
    format!(r#"{{"id":2,"subscribe":{{"channel":"{CHANNEL_PREFIX}{channel}"{from}}}}}"#)
}

/// A place in a channel's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub offset: u64,
    pub epoch: String,
}

/// What the reply to a subscription says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscribed {
    pub recoverable: bool,
    pub recovered: bool,
    offset: u64,
    epoch: String,
    pub publications: Vec<Missed>,
}

/// A publication that is recovered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Missed {
    offset: u64,
}

impl Subscribed {
    /// Where the subscription is after what it recovers; the reply's own offset is that from before.
    pub fn position(&self) -> Position {
        let offsets = self.publications.iter().map(|missed| missed.offset);
        Position { offset: offsets.fold(self.offset, u64::max), epoch: self.epoch.clone() }
    }

    /// Reads the reply to a subscription.
    pub fn parse(text: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Reply {
            subscribe: Subscribed,
        }
        Ok(serde_json::from_slice::<Reply>(text)?.subscribe)
    }
}

/// A text that is said again and again, with one payload or several that carry the time at which it was due.
#[derive(Debug)]
pub struct Template {
    text: Vec<u8>,
    stamps_at: Vec<usize>,
}

impl Template {
    /// An RPC that is answered with its own payload.
    pub fn echo(payload_bytes: usize) -> Self {
        Self::of(r#"{"id":3,"rpc":{"method":"echo","data":"#, 1, payload_bytes, "}}")
    }

    /// A publication to the channel of this number.
    pub fn publish(channel: u32, payload_bytes: usize) -> Self {
        let head = format!(r#"{{"id":4,"publish":{{"channel":"{CHANNEL_PREFIX}{channel}","data":"#);
        Self::of(&head, 1, payload_bytes, "}}")
    }

    /// The text of a payload alone, as a device says it.
    pub fn bare(payload_bytes: usize) -> Self {
        let mut bare = Self::of("", 1, payload_bytes, "");
        bare.text.pop();
        bare.text.remove(0);
        bare.stamps_at.iter_mut().for_each(|at| *at -= 1);
        bare
    }

    /// A request of the server API for so many publications to the channel of this number.
    pub fn api(target: &Target, channel: u32, payload_bytes: usize, count: usize) -> Self {
        let publication = format!(r#"{{"channel":"{CHANNEL_PREFIX}{channel}","data":"#);
        let (path, body) = if count == 1 {
            ("/api/publish", Self::of(&publication, 1, payload_bytes, "}"))
        } else {
            let each = format!(r#"{{"publish":{publication}"#);
            let mut batch = Self::of(&each, count, payload_bytes, "}},");
            batch.text.pop();
            batch.text.extend(b"]}");
            ("/api/batch", batch.after(r#"{"commands":["#))
        };
        let key = target.api_key.as_ref().map(|key| format!("X-API-Key: {key}\r\n"));
        let head = http::post(path, &target.host, key.as_deref().unwrap_or(""), body.text.len());
        body.after(&head)
    }

    /// `count` times: the head, a payload, the tail.
    fn of(head: &str, count: usize, payload_bytes: usize, tail: &str) -> Self {
        let (mut text, mut stamps_at) = (Vec::new(), Vec::new());
        for _ in 0..count {
            text.extend(head.bytes());
            text.extend([b'"', STAMP_MARK]);
            stamps_at.push(text.len());
            text.extend(std::iter::repeat_n(b'0', STAMP_DIGITS));
            text.extend(prose(payload_bytes.saturating_sub(LEAST_PAYLOAD_BYTES)));
            text.push(b'"');
            text.extend(tail.bytes());
        }
        Self { text, stamps_at }
    }

    /// The same after some other text.
    fn after(mut self, head: &str) -> Self {
        self.text.splice(..0, head.bytes());
        self.stamps_at.iter_mut().for_each(|at| *at += head.len());
        self
    }

    /// The text, stamped with a time.
    pub fn stamped(&mut self, stamp_ns: u64) -> &[u8] {
        for stamp_at in &self.stamps_at {
            for (at, digit) in self.text[*stamp_at..][..STAMP_DIGITS].iter_mut().enumerate() {
                let shift = 4 * (STAMP_DIGITS - 1 - at);
                *digit = b"0123456789abcdef"[(stamp_ns >> shift) as usize & 0xf];
            }
        }
        &self.text
    }
}

/// The words that payloads are made of. None holds what JSON would escape, or the mark of a stamp.
const WORDS: [&str; 48] = [
    "harbour", "price", "order", "vessel", "arrives", "at", "the", "gate", "and", "leaves", "with", "cargo",
    "of", "Ada", "Mira", "said", "that", "nobody", "waits", "for", "ticket", "status", "open", "closed",
    "seat", "row", "north", "quay", "weather", "wind", "knots", "lantern", "message", "from", "you", "have",
    "a", "new", "bid", "on", "sold", "to", "yes", "no", "tomorrow", "morning", "is", "late",
];

/// So many bytes of text, the same each time, that compresses as messages of a chat do: fields with the same names,
/// and words in no order.
fn prose(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 64);
    // A linear congruential generator (Numerical Recipes): its high bits are random enough for words.
    let mut state = 20_261_128_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (WORDS[(state >> 16) as usize % WORDS.len()], state >> 8 & 0xff)
    };
    while text.len() < bytes {
        let (user, seat) = next();
        let says = [next().0, next().0, next().0, next().0].join(" ");
        text.extend_from_slice(format!("{{user: {user}, seat: {seat}, says: {says}}}, ").as_bytes());
    }
    text.truncate(bytes);
    text
}

/// One message of the server's.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The server asks whether the client is there.
    Ping,
    /// A publication or an echo, with the time at which it was sent.
    Stamped(u64),
    /// The answer to a command without a stamp, by its id.
    Reply(u8),
    /// A command was refused, or the session ended.
    Refused(&'a [u8]),
    /// A push that nobody asked for.
    Other,
}

/// Says what one message is. Looks no further than it must.
pub fn hear(message: &[u8]) -> Heard<'_> {
    if message == b"{}" {
        return Heard::Ping;
    }
    // What a recovery brings has stamps of its own, which are not of now.
    if message.starts_with(b"{\"id\":2,\"subscribe\":") {
        return Heard::Reply(SUBSCRIBE_ID);
    }
    if let Some(at) = memchr(STAMP_MARK, message)
        && let Some(stamp) = parse_stamp(&message[at + 1..])
    {
        return Heard::Stamped(stamp);
    }
    if memmem::find(message, b"\"error\":{").is_some() || memmem::find(message, b"\"disconnect\":{").is_some()
    {
        return Heard::Refused(message);
    }
    match message.strip_prefix(b"{\"id\":") {
        Some([id, ..]) => Heard::Reply(*id),
        _ => Heard::Other,
    }
}

fn parse_stamp(digits: &[u8]) -> Option<u64> {
    let mut stamp = 0;
    for digit in digits.first_chunk::<STAMP_DIGITS>()? {
        stamp = stamp << 4 | u64::from(char::from(*digit).to_digit(16)?);
    }
    Some(stamp)
}

/// The messages of a frame: a frame may join several by line ends.
pub fn messages(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (message, after) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = after;
            if !message.is_empty() {
                return Some(message);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_payload_that_was_asked_for_and_carries_its_time() {
        for bytes in [LEAST_PAYLOAD_BYTES, 128, MOST_PAYLOAD_BYTES] {
            for mut template in [Template::echo(bytes), Template::publish(3, bytes)] {
                let text = template.stamped(0x0123_4567_89ab_cdef);
                assert_eq!(hear(text), Heard::Stamped(0x0123_4567_89ab_cdef));
                let json: serde_json::Value = serde_json::from_slice(text).expect("JSON");
                let data = json.pointer("/rpc/data").or(json.pointer("/publish/data")).expect("data");
                assert_eq!(data.to_string().len(), bytes);
                assert!([ECHO_ID, PUBLISH_ID].contains(&text[ID_AT]));
            }
        }
    }

    #[test]
    fn pings_replies_and_refusals_are_told_apart() {
        assert_eq!(hear(b"{}"), Heard::Ping);
        assert_eq!(
            hear(br#"{"id":1,"connect":{"client":"c","ping":25,"pong":true}}"#),
            Heard::Reply(CONNECT_ID)
        );
        assert_eq!(hear(br#"{"id":2,"subscribe":{}}"#), Heard::Reply(SUBSCRIBE_ID));
        let refused = br#"{"id":3,"error":{"code":108,"message":"not available"}}"#;
        assert_eq!(hear(refused), Heard::Refused(refused));
        assert_eq!(hear(br#"{"push":{"channel":"c","join":{"info":{}}}}"#), Heard::Other);
        assert_eq!(hear(br#"{"push":{"channel":"a@b","join":{}}}"#), Heard::Other);
    }

    #[test]
    fn a_batch_of_the_server_api_is_json_with_a_time_in_each_publication() {
        let target = Target::loopback(1);
        for count in [1, 3] {
            let mut template = Template::api(&target, 2, 128, count);
            let request = String::from_utf8(template.stamped(0xabc).to_vec()).expect("text");
            let (head, body) = request.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let publications: Vec<_> = match json.get("commands") {
                None => vec![&json],
                Some(commands) => {
                    commands.as_array().expect("an array").iter().map(|one| &one["publish"]).collect()
                }
            };
            assert_eq!(publications.len(), count);
            for publication in publications {
                assert_eq!(publication["channel"], "bench-2");
                assert_eq!(hear(publication["data"].to_string().as_bytes()), Heard::Stamped(0xabc));
            }
        }
    }

    #[test]
    fn a_recovery_asks_from_a_position_and_its_reply_counts_what_was_missed() {
        let from = Position { offset: 7, epoch: "a\"b".to_owned() };
        let json: serde_json::Value = serde_json::from_str(&subscribe(3, Some(&from))).expect("JSON");
        let expected =
            serde_json::json!({"channel": "bench-3", "recover": true, "offset": 7, "epoch": "a\"b"});
        assert_eq!(json["subscribe"], expected);
        let reply = br#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","offset":9,"recovered":true,"publications":[{"data":"@0123456789abcdef","offset":10},{"data":1,"offset":11}]}}"#;
        assert_eq!(hear(reply), Heard::Reply(SUBSCRIBE_ID));
        let subscribed = Subscribed::parse(reply).expect("a reply");
        assert!(subscribed.recovered && subscribed.recoverable);
        assert_eq!(
            (subscribed.offset, subscribed.epoch.as_str(), subscribed.publications.len()),
            (9, "e", 2)
        );
    }
}
