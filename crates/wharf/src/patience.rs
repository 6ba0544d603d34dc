//! A time that has run out is judged by what has come, and not by what was read of it.
//!
//! A process that was stopped (SIGSTOP, a debugger) goes on inside of `epoll_wait`, which Linux then ends with EINTR
//! (signal(7)). The runtime fires its timers upon that without having heard of any socket, and does not ask a socket
//! that it takes for empty. So whoever finds that a time has run out has the runtime look at its sockets, tries once
//! more, and only then judges.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::Instant,
};

/// Has the runtime look at its sockets: what has come for others makes their tasks go on first.
pub async fn look_at_sockets() {
    match Handle::current().runtime_flavor() {
        // A task that yields goes on only after its thread has asked the kernel.
        RuntimeFlavor::CurrentThread => tokio::task::yield_now().await,
        // Here another thread may be the one to ask. It fires this timer only after that.
        _ => tokio::time::sleep(Duration::from_millis(1)).await,
    }
}

/// Awaits what is coming until the deadline, and takes what has come by then. None: nothing has.
pub async fn until<T>(deadline: Instant, mut coming: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    if let Ok(output) = tokio::time::timeout_at(deadline, coming.as_mut()).await {
        return Some(output);
    }
    look_at_sockets().await;
    poll_fn(|context| match coming.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
