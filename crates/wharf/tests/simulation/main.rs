//! Workers of one node on simulated time: sockets are simulated links, the event set is asked by hand, and every
//! run repeats by its seed. A worker gets a turn only for an event, a wake, work of its own or a deadline, so that a
//! wake that is forgotten shows as something that never comes.

mod client;
mod devices;
mod dying;
mod endings;
mod freezing;
mod ledger;
mod polls;
mod recovery;
mod slow_engine;
mod slowness;
mod world;
