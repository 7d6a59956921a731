mod packing;
mod reading;
mod writing;
