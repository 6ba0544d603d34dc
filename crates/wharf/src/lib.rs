//! The motion of Wharf: workers that own connections, the transports that move bytes, HTTP, and clients.

pub mod settings;
