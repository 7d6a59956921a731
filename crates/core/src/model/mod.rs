//! Plain data: the catalog of one database.
