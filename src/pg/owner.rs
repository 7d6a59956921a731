//! Acting as somebody else: the extension's owner, for fixed statements on pgmig's own tables only, or a table's,
//! for what the server does on their behalf too.

use pgrx::pg_sys;

/// The current user is another one, under a fixed `search_path`, until this is dropped.
pub struct AsOwner {
    user: pg_sys::Oid,
    context: i32,
    guc_level: i32,
}

impl AsOwner {
    /// Switches to the extension's owner; inside a transaction.
    ///
    /// The session cannot be talked into running anything else with these rights: statements are
    /// constant, names are qualified, operators come from `pg_catalog`.
    pub fn begin(owner: pg_sys::Oid) -> Self {
        Self::switch(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE)
    }

    /// Switches to a table's owner, for functions of theirs, which are kept from changing what lasts longer than
    /// this; inside a transaction. As `DefineIndex` of the server does.
    pub(super) fn begin_restricted(owner: pg_sys::Oid) -> Self {
        Self::switch(owner, pg_sys::SECURITY_RESTRICTED_OPERATION)
    }

    fn switch(owner: pg_sys::Oid, restriction: u32) -> Self {
        let mut user = pg_sys::InvalidOid;
        let mut context = 0;
        // SAFETY: both pointers are valid for the call.
        unsafe { pg_sys::GetUserIdAndSecContext(&mut user, &mut context) };
        // SAFETY: opens a level that Drop closes.
        let guc_level = unsafe { pg_sys::NewGUCNestLevel() };
        let restricted = context | restriction as i32;
        // SAFETY: restored on drop, and by the server when the transaction aborts.
        unsafe { pg_sys::SetUserIdAndSecContext(owner, restricted) };
        let guard = AsOwner { user, context, guc_level };
        // SAFETY: constant strings; GUC_ACTION_SAVE ties the value to the level opened above.
        unsafe {
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                c"pg_catalog, pg_temp".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            )
        };
        guard
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        // SAFETY: closes the level opened in `begin`; on an aborting path the server has done so
        // already for deeper levels, and closing a level twice is harmless.
        unsafe { pg_sys::AtEOXact_GUC(true, self.guc_level) };
        // SAFETY: puts back what `begin` read.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}
