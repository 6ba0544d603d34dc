//! A device of the kind that the bench configures: lines without an envelope. What it is answered is the begin of what
//! a client on the JSON-line socket is, so that one reader counts both.

use anyhow::{bail, ensure};

use super::Out;
use crate::cli::bench::{generator::Shape, message::CHANNEL_PREFIX};

/// The server that the bench starts takes its devices from this variable.
pub const VARIABLE: &str = "WHARF_DEVICE";

/// What such a server prints of its listener for devices; the address follows.
pub const ANNOUNCEMENT: &str = "wharf: devices of bench on tcp://";

/// The listener, as in a configuration file. Pings are as many and as long as those of a JSON-line socket.
const LISTENER: &str = r#"[{ name = "bench", listen = ["tcp://127.0.0.1:0"], connections = 1000000,
framing = { kind = "marks", end = "\n", max_bytes = 65536 },
login = { pattern = "LOGIN {id:digits}", allow = ["*"], answer = '{{"id":1}}' },
heartbeat = { pattern = "{{}}", send = "{{}}", interval = "25s" },
RULE }]"#;

/// A frame is published as the JSON string that a client would publish, and acknowledged.
const UP: &str = r#"up = [{ pattern = "@{_}", channel = "CHANNEL", publish = "text", answer = '{{"id":4}}', error = '{{"id":4,"error":{{}}}}' }]"#;

/// A publication is a line of its text.
const DOWN: &str = r#"down = { channel = "CHANNEL", template = "{data}" }"#;

/// The listener for a run of this shape.
pub fn listener(shape: &Shape) -> String {
    let number = if shape.channels == 1 { "0" } else { "{id}" };
    let rule = if shape.publishes { UP } else { DOWN };
    let text = LISTENER.replace('\n', " ").replace("RULE", rule);
    text.replace("CHANNEL", &format!("{CHANNEL_PREFIX}{number}"))
}

/// Refuses what devices cannot do: their channel is configured, and so is their listener.
pub fn check(shape: &Shape, connections: usize, is_there_already: bool) -> anyhow::Result<()> {
    if is_there_already {
        bail!(
            "--transport device needs a listener whose devices speak as the bench does; leave --server out, and the \
             bench starts a server with one"
        );
    }
    ensure!(
        shape.subscriptions == 1 && (shape.channels == 1 || shape.channels as usize == connections),
        "devices share one channel or have one each: ask for --channels 1 or --channels {connections}, and one \
         subscription"
    );
    Ok(())
}

/// Says who it is; each connection is a device of its own.
pub fn greet(id: usize, out: &mut Out) {
    out.here.extend_from_slice(format!("LOGIN {id}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use wharf_proto::{
        message::{Command, Request},
        wire::MessageKind,
    };

    use super::*;
    use crate::{
        cli::bench::message::Template,
        config::{Flags, load},
    };

    /// What the server is asked when a device with the number 7 logs in and says `frame`.
    fn asked(shape: &Shape, frame: &[u8]) -> Vec<Command> {
        let variables = [(VARIABLE.into(), listener(shape).into())];
        let nowhere = std::path::Path::new("/nowhere");
        let loaded = load(&Flags::default(), variables, nowhere).expect("a configuration");
        assert!(loaded.settings.development, "clients may do everything beside it");
        let mut conversation = loaded.settings.devices[0].profile.conversation();
        let (mut out, mut commands) = (Out::default(), Vec::new());
        greet(7, &mut out);
        for message in [out.here.trim_ascii_end(), frame] {
            conversation.decode(MessageKind::Text, message, &mut commands).expect("a frame");
        }
        commands
    }

    #[test]
    fn what_a_device_says_is_published_as_a_clients_publication_would_be() {
        for (channels, channel) in [(1, "bench-0"), (9, "bench-7")] {
            let shape = Shape { channels, publishes: true, ..Shape::plainest() };
            let commands = asked(&shape, Template::bare(64).stamped(5));
            let Some(Command { request: Request::Publish { channel: found, data }, .. }) = commands.last()
            else {
                panic!("{commands:?}")
            };
            assert_eq!(&**found, channel);
            assert_eq!(data.bytes().len(), 64);
            assert!(data.bytes().starts_with(b"\"@0000000000000005"), "{data:?}");
        }
    }

    #[test]
    fn a_device_hears_its_channel_and_answers_pings() {
        let commands = asked(&Shape::plainest(), b"{}");
        let [Command { request: Request::Connect(connect), .. }, beat] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!(&*connect.subs[0].channel, "bench-0");
        assert!(matches!(beat.request, Request::Heartbeat), "{beat:?}");
    }

    #[test]
    fn what_devices_cannot_do_is_refused_with_the_mend() {
        let shape = |channels, subscriptions| Shape { channels, subscriptions, ..Shape::plainest() };
        assert!(check(&shape(1, 1), 5, false).is_ok() && check(&shape(5, 1), 5, false).is_ok());
        for (shape, is_there, words) in [
            (shape(1, 1), true, "leave --server out"),
            (shape(2, 1), false, "--channels 5"),
            (shape(5, 2), false, "one subscription"),
        ] {
            let error = check(&shape, 5, is_there).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
