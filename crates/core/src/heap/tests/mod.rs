mod converting;
mod packing;
mod reading;
mod referencing;
mod wide;
mod writing;
