//! The registry of dialects: what a message means. To add one: a folder beside this, and a line in [`ALL`] and
//! [`DialectId`].

use crate::{Disconnect, message::ErrorReply, wire::Dialect};

pub mod centrifuge_json;
pub mod centrifuge_uni;
pub mod echo;
pub mod events;
#[cfg(test)]
mod events_for_tests;
#[cfg(test)]
mod transcript;

/// The place of a dialect in [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum DialectId {
    /// Centrifuge JSON, both ways.
    CentrifugeJson,
    /// Centrifuge JSON, server to client only: bare pushes (`/connection/uni_*`).
    CentrifugeUni,
    /// A plain EventSource on one channel (`/events`): its cursor is the publication's own, so bytes are shared.
    EventsOne,
    /// A plain EventSource on several channels: the cursor covers all of them, so each member's bytes are its own.
    EventsMany,
    /// Every message comes back as it is.
    Echo,
    /// Devices, each kind in a format of its own.
    Device,
}

/// All dialects, in the order of [`DialectId`].
pub const ALL: &[&dyn Dialect] = &[
    &centrifuge_json::CentrifugeJson,
    &centrifuge_uni::CentrifugeUni,
    &events::EventsOne,
    &events::EventsMany,
    &echo::Echo,
    &crate::device::Device,
];

/// The code with which a one-way dialect says that a connect failed (Centrifuge protocol, unidirectional
/// endpoints): it has no replies to say it with.
pub(crate) fn one_way_connect_error(error: &ErrorReply) -> u16 {
    let disconnect = match error.code {
        109 | 110 => &Disconnect::EXPIRED,
        111 => &Disconnect::TOO_MANY_REQUESTS,
        103 => &Disconnect::PERMISSION_DENIED,
        _ => &Disconnect::SERVER_ERROR,
    };
    disconnect.code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_its_place() {
        use DialectId::*;
        let expected = [
            (CentrifugeJson, "centrifuge_json"),
            (CentrifugeUni, "centrifuge_uni"),
            (EventsOne, "events_one"),
            (EventsMany, "events_many"),
            (Echo, "echo"),
            (Device, "device"),
        ];
        assert_eq!(ALL.len(), expected.len());
        for (id, name) in expected {
            assert_eq!(ALL[id as usize].name(), name);
        }
    }

    #[test]
    fn a_failed_connect_of_a_one_way_client_has_the_code_of_its_error() {
        for (error, code) in [
            (ErrorReply::TOKEN_EXPIRED, 3005),
            (ErrorReply::EXPIRED, 3005),
            (ErrorReply::TOO_MANY_REQUESTS, 3013),
            (ErrorReply::PERMISSION_DENIED, 3507),
            (ErrorReply::INTERNAL, 3004),
            (ErrorReply::BAD_REQUEST, 3004),
        ] {
            assert_eq!(one_way_connect_error(&error), code, "{error:?}");
        }
    }
}
