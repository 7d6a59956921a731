//! pgmig: copies a whole PostgreSQL database into the one it is installed in.
