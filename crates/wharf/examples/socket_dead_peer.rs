//! A dead peer is found: the heartbeat sees a frozen process, the kernel a machine that is gone, the stall one that takes
//! nothing. Each end has a name of its own.
use std::time::Duration;
use wharf::socket::{Bounds, Heartbeat, KernelWatch, Socket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let frozen = std::net::TcpListener::bind("127.0.0.1:0")?; // Its kernel answers; nobody else does.
    let address = format!("tcp://{}", frozen.local_addr()?);
    let heartbeat = Heartbeat::every(Duration::from_millis(200)).within(Duration::from_millis(100)).misses(2);
    let (user_timeout, keepalive) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(15)));
    let socket = Socket::connect(&address)
        .heartbeat(heartbeat.saying("PING"))
        .kernel_watch(KernelWatch { user_timeout, keepalive })
        .bounds(Bounds { write_stall: Duration::from_secs(5), ..Bounds::default() })
        .await?;
    let end = socket.read().await.unwrap_err();
    println!("{}", end.name()); // missed_heartbeat
    Ok(())
}
