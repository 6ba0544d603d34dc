//! `[[device]]`: kinds of devices, and where they connect.
//!
//! | file | does |
//! |---|---|
//! | `table` | what may be written |
//! | `value` | bytes, templates, kinds of fields |
//! | `spec` | from what was written to a description of `wharf_proto::device` |
//! | `listener` | checks what spans keys, and makes the listeners |

mod listener;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use self::listener::{listeners, spell_device};
pub use self::table::DeviceTable;
