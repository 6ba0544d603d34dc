use std::sync::Arc;

use super::*;
use crate::{
    broker::{BrokerSink, Engine},
    testing::{clock::SimulatedClock, contract::Subject},
};

/// The memory engine on simulated time.
#[derive(Default)]
struct Memory(SimulatedClock);

impl Subject for Memory {
    fn start(&self, sink: Arc<dyn BrokerSink>) -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::new(sink, MemoryLimits::default()))
    }

    fn now(&self) -> Millis {
        self.0.now()
    }

    fn pass_ms(&self, ms: u64) {
        self.0.advance_ms(ms);
    }
}

crate::engine_contract!(contract, Memory::default());
