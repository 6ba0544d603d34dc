//! Whether what was missed can be had. Pure: a request and a page of history in, a result out.
//! Centrifuge protocol section 9.

use wharf_proto::message::{Position, SubscribeRequest, SubscribeResult};

use super::Grant;
use crate::broker::HistoryPage;

/// The subscribe result for a client whose channel was read as `page`.
///
/// Recovered means: the epoch is the client's (or it named none), and the page holds everything after the
/// client's offset up to the newest, without a hole. Anything else is `recovered: false` at the newest
/// position, and never a part of what was missed.
pub(super) fn result(request: &SubscribeRequest, grant: Grant, page: HistoryPage) -> SubscribeResult {
    let top = page.position;
    let was_recovering = request.recover && grant.recoverable;
    let recovered = was_recovering && covers(request, &page);
    SubscribeResult {
        recoverable: grant.recoverable,
        positioned: grant.positioned,
        // On success the client counts up from its own offset as it takes the publications.
        position: Some(if recovered { Position { offset: request.offset, epoch: top.epoch } } else { top }),
        publications: if recovered { page.publications } else { Vec::new() },
        recovered,
        was_recovering,
    }
}

fn covers(request: &SubscribeRequest, page: &HistoryPage) -> bool {
    let top = page.position;
    if !request.epoch.is_empty() && *request.epoch != *top.epoch.as_str() {
        return false;
    }
    match (page.publications.first(), page.publications.last()) {
        (Some(first), Some(last)) => {
            let follows = request.offset.checked_add(1) == Some(first.offset);
            let whole = page.publications.len() as u64 == last.offset - first.offset + 1;
            follows && whole && last.offset == top.offset
        }
        _ => top.offset == request.offset,
    }
}
