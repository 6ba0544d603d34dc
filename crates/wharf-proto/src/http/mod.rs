//! HTTP at the level of bytes: what must be checked before a parser is believed.
