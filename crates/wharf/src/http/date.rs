//! The date of an answer (RFC 9110 section 6.6.1), made once a second and thread.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, BytesMut};
use httpdate::HttpDate;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const LENGTH: usize = 29;

thread_local! {
    static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [0; LENGTH])) };
}

/// Appends the date of this second.
pub fn write_now(out: &mut BytesMut) {
    // A clock before 1970 is wrong anyhow.
    // tidy: the date because it is what the header tells.
    let now = SystemTime::now().max(UNIX_EPOCH);
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (of, mut text) = LAST.get();
    if of != second {
        text = written(now);
        LAST.set((second, text));
    }
    out.put_slice(&text);
}

fn written(now: SystemTime) -> [u8; LENGTH] {
    let text = HttpDate::from(now).to_string();
    // Every date that the format can say has this length.
    text.as_bytes().try_into().unwrap_or([b' '; LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_of_this_second_and_has_the_form_of_the_protocol() {
        let before = SystemTime::now();
        let mut out = BytesMut::new();
        write_now(&mut out);
        write_now(&mut out);
        let (first, second) = out.split_at(LENGTH);
        let read = httpdate::parse_http_date(std::str::from_utf8(first).unwrap()).unwrap();
        assert!(before.duration_since(read).is_ok_and(|since| since.as_secs() < 2), "{read:?}");
        assert_eq!(second.len(), LENGTH);
    }
}
