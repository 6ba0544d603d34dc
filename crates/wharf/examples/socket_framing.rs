//! Where a message ends is a part: here a length of two bytes before each. Any framing of `wharf_proto` will do.
use wharf::socket::{Listener, Socket};
use wharf_proto::device::{DeviceFraming, spec::Endian};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let framing = DeviceFraming::length_prefixed(2, Endian::Big, 60_000)?;
    let listener = Listener::bind("tcp://127.0.0.1:0").framing(framing.clone()).await?;
    let framed = Socket::connect(&listener.address()).framing(framing).await?;
    let server = listener.accept().await.expect("somebody has just dialled");
    framed.write(b"any\nbytes").await?;
    println!("{:?}", server.read().await?); // Some(b"any\nbytes")

    let bytes = Socket::connect(&listener.address()).await?; // The same wire, seen without a framing.
    let server = listener.accept().await.expect("somebody has just dialled");
    bytes.write(b"\0\x03one\0\x03tw").await?;
    bytes.close().await?;
    println!("{:?}", server.read().await?); // Some(b"one")
    println!("{}", server.read().await.unwrap_err().name()); // cut_short
    Ok(())
}
