//! Model objects to statements. Pure.
