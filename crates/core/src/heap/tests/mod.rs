mod converting;
mod packing;
mod reading;
mod writing;
