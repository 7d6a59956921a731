mod packing;
mod reading;
mod wide;
mod writing;
