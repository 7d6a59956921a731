mod packing;
mod reading;
mod referencing;
mod writing;
