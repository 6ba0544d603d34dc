//! Negotiation (RFC 7692 sections 5 and 7.1): which of a client's offers a server takes, and whether a client can
//! take the server's answer.

use std::{fmt::Write, sync::Arc};

use super::{
    Agreement, Compression, CompressorBudget, Malformed, NAME, Parameters, WindowBits,
    header::{ClientWindow, Terms, elements},
};
use crate::websocket::Role;

/// What a server wants of compression.
#[derive(Debug, Clone, Copy)]
pub struct DeflatePolicy<'p> {
    /// Bounds the memory of all connections that remember. `None`: no connection remembers anything, in either
    /// direction, as if both takeovers were false.
    pub budget: Option<&'p Arc<CompressorBudget>>,
    /// The server's messages may refer to those before them, unless the client asks that they do not.
    pub server_context_takeover: bool,
    /// The client's messages may refer to those before them.
    pub client_context_takeover: bool,
    /// The window of the server's messages, at most. With 8 bits every offer is declined (see the
    /// [module](super)).
    pub server_max_window_bits: WindowBits,
    /// The window of the client's messages, at most, where the client says that it can be told.
    pub client_max_window_bits: WindowBits,
}

/// No takeover, and windows of 32 KiB: no memory a connection, and one compressed message serves all receivers.
impl Default for DeflatePolicy<'_> {
    fn default() -> Self {
        Self {
            budget: None,
            server_context_takeover: false,
            client_context_takeover: false,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
        }
    }
}

impl DeflatePolicy<'_> {
    /// What is agreed on if this offer is taken; `None` declines it.
    fn take(&self, offer: Terms) -> Option<Choice> {
        let offered = offer.server_max_window_bits;
        let server_bits = self.server_max_window_bits.min(offered.unwrap_or(WindowBits::MAX));
        // RFC 7692 section 7.1.2.1: a server declines the offer if it does not support the parameter.
        if server_bits == WindowBits::MIN {
            return None;
        }
        // RFC 7692 section 7.1.2.2: without the parameter in the offer, the answer may not have it.
        let client_bits = match offer.client_max_window_bits {
            None => WindowBits::MAX,
            Some(ClientWindow::Supported) => self.client_max_window_bits,
            Some(ClientWindow::AtMost(bits)) => bits.min(self.client_max_window_bits),
        };
        let server_takeover = self.server_context_takeover && !offer.server_no_context_takeover;
        // RFC 7692 section 7.1.1.2: the client hints that it will not remember, so nothing need be kept for it.
        let client_takeover = self.client_context_takeover && !offer.client_no_context_takeover;
        let parameters = Parameters {
            server: Compression { context_takeover: server_takeover, window_bits: server_bits },
            client: Compression { context_takeover: client_takeover, window_bits: client_bits },
        };
        // RFC 7692 section 7.1.2.1: the parameter is accepted by standing in the answer too.
        Some(Choice { parameters, says_server_bits: offered.is_some() || server_bits < WindowBits::MAX })
    }

    /// Sets aside the memory for what was chosen, or chooses not to remember. Row 38.
    fn agree(&self, mut choice: Choice) -> (Agreement, ExtensionsValue) {
        let needed = choice.parameters.context_bytes(Role::Server);
        let reservation = match needed {
            0 => None,
            _ => self.budget.and_then(|budget| budget.try_reserve(needed)),
        };
        if reservation.is_none() {
            // RFC 7692 sections 7.1.1.1 and 7.1.1.2: the answer may say so although the offer did not.
            choice.parameters.server.context_takeover = false;
            choice.parameters.client.context_takeover = false;
        }
        (Agreement::reserved(choice.parameters, reservation), choice.value())
    }
}

/// The offer that was taken, before memory was set aside for it.
#[derive(Debug, Clone, Copy)]
struct Choice {
    parameters: Parameters,
    says_server_bits: bool,
}

impl Choice {
    /// What the answer says.
    fn value(self) -> ExtensionsValue {
        let Parameters { server, client } = self.parameters;
        let client_bits =
            (client.window_bits < WindowBits::MAX).then_some(ClientWindow::AtMost(client.window_bits));
        ExtensionsValue::of(Terms {
            server_no_context_takeover: !server.context_takeover,
            client_no_context_takeover: !client.context_takeover,
            server_max_window_bits: self.says_server_bits.then_some(server.window_bits),
            client_max_window_bits: client_bits,
        })
    }
}

/// The server's half: is shown each `Sec-WebSocket-Extensions` of a request, in their order.
#[derive(Debug)]
pub(in crate::websocket) struct Negotiation<'p> {
    policy: Option<DeflatePolicy<'p>>,
    choice: Option<Choice>,
    malformed: bool,
}

impl<'p> Negotiation<'p> {
    /// Without a policy every offer is declined unread.
    pub(in crate::websocket) fn new(policy: Option<DeflatePolicy<'p>>) -> Self {
        Self { policy, choice: None, malformed: false }
    }

    /// RFC 7692 section 5: offers are in the order of the client's preference; the first that can be taken is.
    /// RFC 6455 section 9.1: they may be spread over several headers.
    pub(in crate::websocket) fn add(&mut self, value: &[u8]) {
        let Some(policy) = self.policy else { return };
        for element in elements(value) {
            match element {
                Err(Malformed) => self.malformed = true,
                Ok(offer) if self.choice.is_none() && offer.name == NAME => {
                    self.choice = offer.terms.and_then(|terms| policy.take(terms));
                }
                Ok(_) => {}
            }
        }
    }

    /// What was agreed on and what the answer says of it; sets memory aside, so it comes last.
    pub(in crate::websocket) fn finish(self) -> Result<Option<(Agreement, ExtensionsValue)>, Malformed> {
        if self.malformed {
            return Err(Malformed);
        }
        Ok(self.policy.zip(self.choice).map(|(policy, choice)| policy.agree(choice)))
    }
}

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateOffer {
    /// Asks the server that its messages do not refer to those before them, so that no memory is needed to read.
    pub server_no_context_takeover: bool,
    /// Says that the client's messages will not refer to those before them.
    pub client_no_context_takeover: bool,
    /// Asks the server for a window of at most this.
    pub server_max_window_bits: WindowBits,
    /// The window of the client's messages, at most. Offered in any case, so that the server may ask for less.
    pub client_max_window_bits: WindowBits,
}

/// Whatever the server likes best.
impl Default for DeflateOffer {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
        }
    }
}

impl DeflateOffer {
    /// The value of the request's `Sec-WebSocket-Extensions`.
    pub(in crate::websocket) fn value(&self) -> ExtensionsValue {
        let below_max = |bits: WindowBits| (bits < WindowBits::MAX).then_some(bits);
        let client_bits = below_max(self.client_max_window_bits).map(ClientWindow::AtMost);
        ExtensionsValue::of(Terms {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: below_max(self.server_max_window_bits),
            client_max_window_bits: Some(client_bits.unwrap_or(ClientWindow::Supported)),
        })
    }

    /// What is agreed on by an answer that holds this one extension; an error if it does not answer this offer.
    fn check(&self, answer: Terms) -> Result<Parameters, Malformed> {
        // RFC 7692 section 7.1.1.1: the server accepts the parameter by including it.
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(Malformed);
        }
        // RFC 7692 section 7.1.2.1: likewise, with the same or a smaller value.
        let server_bits = answer.server_max_window_bits.unwrap_or(WindowBits::MAX);
        if server_bits > self.server_max_window_bits {
            return Err(Malformed);
        }
        let client_bits = match answer.client_max_window_bits {
            // RFC 7692 section 7.1.2.2: the client keeps what it hinted at although the server is silent.
            None => self.client_max_window_bits,
            Some(ClientWindow::AtMost(bits)) if bits <= self.client_max_window_bits => bits,
            Some(_) => return Err(Malformed),
        };
        let client_takeover = !self.client_no_context_takeover && !answer.client_no_context_takeover;
        let server_takeover = !answer.server_no_context_takeover;
        Ok(Parameters {
            server: Compression { context_takeover: server_takeover, window_bits: server_bits },
            client: Compression { context_takeover: client_takeover, window_bits: client_bits },
        })
    }

    /// What an answer's `Sec-WebSocket-Extensions`, which may be several, agree on. RFC 6455 section 9.1 and RFC
    /// 7692 section 5: an answer that was not offered fails the connection, and so does one extension twice.
    pub(in crate::websocket) fn check_values<'h>(
        offer: Option<&Self>,
        values: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Option<Parameters>, Malformed> {
        let mut agreed = None;
        for element in values.into_iter().flat_map(elements) {
            let element = element?;
            let offer = offer.filter(|_| element.name == NAME && agreed.is_none()).ok_or(Malformed)?;
            agreed = Some(offer.check(element.terms.ok_or(Malformed)?)?);
        }
        Ok(agreed)
    }
}

/// The value of a `Sec-WebSocket-Extensions` of ours: the name and each parameter at most once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct ExtensionsValue {
    text: [u8; Self::MAX_BYTES],
    len: usize,
}

impl ExtensionsValue {
    /// The name and all four parameters with a value of two digits.
    const MAX_BYTES: usize = NAME.len() + 2 * 28 + 2 * 27;

    fn of(terms: Terms) -> Self {
        let mut value = Self { text: [0; Self::MAX_BYTES], len: 0 };
        // The longest value fits, so writing cannot fail.
        let _ = value.write_terms(terms);
        value
    }

    fn write_terms(&mut self, terms: Terms) -> std::fmt::Result {
        self.write_str(NAME)?;
        if terms.server_no_context_takeover {
            self.write_str("; server_no_context_takeover")?;
        }
        if terms.client_no_context_takeover {
            self.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = terms.server_max_window_bits {
            write!(self, "; server_max_window_bits={}", bits.bits())?;
        }
        match terms.client_max_window_bits {
            Some(ClientWindow::Supported) => self.write_str("; client_max_window_bits"),
            Some(ClientWindow::AtMost(bits)) => write!(self, "; client_max_window_bits={}", bits.bits()),
            None => Ok(()),
        }
    }

    pub(in crate::websocket) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default() // Only whole strings were written.
    }
}

impl Write for ExtensionsValue {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let place = self.text[self.len..].get_mut(..text.len()).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl std::fmt::Debug for ExtensionsValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(formatter)
    }
}

#[cfg(test)]
mod tests;
