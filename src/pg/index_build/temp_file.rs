//! Bytes in a temporary file, which goes away with the transaction if an error is raised.

use std::ffi::c_int;

use pgrx::pg_sys;

/// A file that is written once, then read once.
pub(super) struct TempFile {
    file: *mut pg_sys::BufFile,
}

impl TempFile {
    pub(super) fn create() -> Self {
        // SAFETY: inside a transaction, whose end closes the file.
        TempFile { file: unsafe { pg_sys::BufFileCreateTemp(false) } }
    }

    /// Appends `count` values, which must be without gaps between them; raises if the disk is full.
    pub(super) fn write<T: Copy>(&mut self, values: &[T]) {
        let start = values.as_ptr().cast_mut().cast();
        // SAFETY: that many bytes are there.
        unsafe { pg_sys::BufFileWrite(self.file, start, size_of_val(values)) };
    }

    /// Goes to the start, to read.
    pub(super) fn rewind(&mut self) {
        const FROM_THE_START: c_int = 0;
        // SAFETY: the file is open.
        if unsafe { pg_sys::BufFileSeek(self.file, 0, 0, FROM_THE_START) } != 0 {
            pgrx::error!("could not rewind a temporary file");
        }
    }

    /// Appends `count` values to those at hand; raises if the file has not as many.
    ///
    /// # Safety
    /// Any bytes must be a value.
    pub(super) unsafe fn read<T: Copy>(&mut self, values: &mut Vec<T>, count: usize) {
        values.reserve_exact(count);
        let bytes = count * size_of::<T>();
        let start = values.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: there is room for that many values; raises if the file cannot be read.
        let read = unsafe { pg_sys::BufFileRead(self.file, start, bytes) };
        if read != bytes {
            pgrx::error!("a temporary file ended early");
        }
        // SAFETY: they were just read.
        unsafe { values.set_len(values.len() + count) };
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // After an error the transaction's end closes the file.
        if !std::thread::panicking() {
            // SAFETY: open, and closed only here.
            unsafe { pg_sys::BufFileClose(self.file) };
        }
    }
}
