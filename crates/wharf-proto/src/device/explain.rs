//! A kind of device in words, for `wharf check`.

use super::{Profile, up::Up};

impl Profile {
    /// What the description means: subjects, and what is said of each.
    pub fn explain(&self) -> Vec<(&'static str, String)> {
        let mut words = vec![("frames", self.framing.explain()), ("login", self.explain_login())];
        words.push(("heartbeat", self.explain_heartbeat()));
        words.extend(self.up.iter().map(|up| ("up", up.explain())));
        if self.up.is_empty() {
            words.push(("up", "nothing is published".to_owned()));
        }
        words.push(("down", self.explain_down()));
        if let Some(request) = &self.request {
            words.push((
                "requests",
                format!(
                    "are answered by frames {}, told apart {}",
                    request.answer.explain(),
                    request.explain()
                ),
            ));
        }
        words
    }

    fn explain_login(&self) -> String {
        let login = &self.login;
        let mut words = format!("by frames {}; {}", login.rule.explain(), login.explain_allowed());
        if login.asks_for_token() {
            words += ", with a token";
        }
        words += if login.answer.is_some() { "; answered" } else { "; not answered" };
        words += match login.strict {
            true => "; any other frame before it closes",
            false => "; other frames before it are left out",
        };
        words
    }

    fn explain_heartbeat(&self) -> String {
        let Some(beat) = &self.heartbeat else { return "none of its own".to_owned() };
        let policy = beat.policy;
        let mut words = match &beat.rule {
            Some(rule) => format!("frames {}", rule.explain()),
            None => "any frame".to_owned(),
        };
        if beat.answer.is_some() {
            words += ", answered";
        }
        if policy.pings {
            words = format!("the server sends every {}; {words}", seconds(policy.interval_ms));
        }
        if !policy.only && beat.rule.is_some() {
            words += ", or anything else,";
        }
        format!("{words} within {}, or the device is taken for dead", seconds(policy.silence_ms()))
    }

    fn explain_down(&self) -> String {
        match &self.down {
            None => "nothing is said to the device".to_owned(),
            Some(down) if down.messages.len() == 1 && down.messages[0].when.is_none() => {
                format!("publications to {} are written to the device", down.channel.text())
            }
            Some(down) => {
                let kinds = down.messages.iter().map(|message| match &message.when {
                    Some((member, value)) => format!("{member} = {value:?}"),
                    None => "any other".to_owned(),
                });
                let kinds = kinds.collect::<Vec<_>>();
                format!(
                    "publications to {} are written to the device: {}",
                    down.channel.text(),
                    kinds.join(", ")
                )
            }
        }
    }
}

impl Up {
    fn explain(&self) -> String {
        let answered = if self.answer.is_some() { ", and answered" } else { "" };
        let (frames, channel, what) = (self.rule.explain(), self.channel.text(), self.publish.explain());
        format!("frames {frames} are published to {channel} as {what}{answered}")
    }
}

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1_000) { format!("{} s", ms / 1_000) } else { format!("{ms} ms") }
}
