create extension pgmig;
