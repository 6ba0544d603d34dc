//! A whole server, asked over real sockets by clients that say exactly what each test wants said.

mod api;
mod connections;
mod detection;
mod http2;
mod polling;
mod rig;
mod routes;
mod streams;
mod strictness;
mod websocket;
mod websocket_http2;
