package console

import "sync"

// passive says that a function cannot be what a report is about: it only
// reports, checks, or does the elementary thing its caller asked for.
func passive(name string) bool { return matches(name, passives()) }

var passives = sync.OnceValue(func() []string {
	return join(
		// sanitizers and the functions they watch through
		[]string{"asan_", "kasan", "msan", "kcsan", "__tsan", "ubsan", "sanitizer", "kfence", "__kcov", "check_memory_region", "read_word_at_a_time", "print_address_description", "print_report", "write_comp_data", "^instrument_"},
		// the way into a report
		[]string{"dump_stack", "show_stack", "dump_backtrace", "show_regs", "^panic$", "^vpanic$", "_panic$", "panic_on_", "^panic_saved_", "^panic_smp_", "^panic_fmt", "^panic_const_", "^__warn", "warn_slowpath", "warn_alloc", "report_bug", "fixup_bug", "handle_bug", "^bug_handler", "invalid_op", "do_error", "^do_trap", "^do_error_trap", "^trap_", "brk_handler", "do_debug_exception", "call_break_hook", "^el1_", "^el1h_", "^die$", "^oops_", "^__die", "^exc_", "^asm_exc_", "program_check", "^unwind_", "^arch_stack_walk", "^stack_trace_", "^save_stack", "_indirect_thunk_", "nmi_cpu_backtrace", "nmi_trigger_cpumask", "arch_trigger_cpumask", "^trace_hardirqs_", "^rust_begin_unwind", "rust_helper_", "rust_panic", "9panicking", "rust_begin_unwind", "^do_page_fault", "^do_mem_abort", "^do_undefinstr", "^show_trace_log_lvl", "^print_", "^object_err", "^check_noncircular", "kernel_fault", "do_translation_fault", "^do_bad_area", "do_tag_check_fault", "mem_abort", "^walk_stackframe", "assertfail", "^assfail", "fortify_", "__fortify", "warn_bogus", "^ref_tracker_"},
		// printing
		[]string{"printk", "dev_info", "dev_notice", "dev_warn", "dev_err", "dev_alert", "dev_crit", "dev_emerg", "printf", "^string$", "^string_nocheck", "^pointer$"},
		// locks, lockdep and waiting for them
		[]string{"lockdep", "lock_acquire", "lock_release", "lock_class", "held_lock", "spin_lock", "spin_trylock", "spin_unlock", "read_lock", "read_trylock", "read_unlock", "write_lock", "write_trylock", "write_unlock", "^down", "^__down", "^up_read", "^up_write", "^up$", "^mutex_", "^__mutex_", "^rt_mutex_", "^rtlock_", "owner_on_cpu", "raw_spin_rq", "bh_enable", "bh_disable", "^complete$", "^swake_up", "^__rcu_read_", "^rcu_read_", "register_lock_class", "^wait_for_completion", "wait_for_common", "^__local_bh_", "osq_lock", "osq_unlock", "rwsem_", "__wake_up", "finish_wait", "__might_", "might_fault", "might_sleep", "___might_sleep", "check_wait_context", "mark_lock", "check_preemption_disabled", "^debug_check_no_locks", "^check_flush_dependency", "lock_is_held"},
		// counters, lists, strings and user memory
		[]string{"refcount_add", "refcount_sub", "refcount_inc", "refcount_dec", "refcount_set", "refcount_read", "refcount_warn", "^kref_", "^memcpy", "^__memcpy", "memcmp", "memset", "memchr", "memmove", "strcmp", "strncmp", "strcasecmp", "strcpy", "strlcpy", "strncpy", "strscpy", "strlen", "strnlen", "strnstr", "strstr", "strchr", "va_format", "hex_dump_to_buffer", "print_hex_dump", "copy_to_user", "copy_from_user", "put_user", "get_user", "list_add", "list_del", "list_replace", "list_move", "list_splice", "^hlist_", "^__hlist", "^seqprop_", "^_copy_", "^copyin", "^copyout", "copy_page_to_iter", "copy_page_from_iter", "copy_to_iter", "copy_from_iter", "^copy_folio_to_iter", "^iov_iter_", "^atomic_", "^atomic64_", "^arch_atomic", "^set_bit", "^clear_bit", "^change_bit", "^test_bit", "_find_first_bit", "_find_next_bit", "^test_and_", "^_test_and", "^__test_and", "atomic_dec_and_lock", "^rb_", "^__rb_", "^xas_", "^xa_load", "^klist_", "^crc", "^__raw_read", "^__raw_write", "^logic_in", "^logic_out"},
		// memory, and what is made of it
		[]string{"kmalloc", "kzalloc", "kcalloc", "krealloc", "kvmalloc", "vmalloc", "vzalloc", "kfree", "^vfree", "^__vfree", "^kvfree", "kmem_", "^slab_", "__slab_", "memcg_slab_", "check_slab_", "memdup", "strdup", "strndup", "alloc_pages", "allocate_slab", "__alloc_frozen", "alloc_page", "get_page_from_freelist", "^prep_new_page", "^post_alloc_hook", "skb_put", "skb_push", "skb_pull", "skb_trim", "skb_panic", "skb_over_panic", "skb_under_panic", "^iput", "^ihold$", "^kfree_skb", "^consume_skb", "^dput", "^fast_dput", "^drop_nlink", "^clear_nlink", "^inc_nlink", "^mark_buffer_dirty", "folio_alloc", "__filemap_get_folio", "find_or_create_page", "do_read_cache_folio", "read_cache_page", "find_lock_entries", "find_get_entries", "find_get_entry", "truncate_inode_pages", "truncate_inode_partial", "pagecache_get_page", "grab_cache_page", "check_heap_object", "^folio_unlock", "^unlock_page"},
		// objects handed over for checking
		[]string{"debug_object", "_is_static_object", "perf_trace", "debug_check_no_obj"},
		// stopping, flushing and deleting what somebody else owns
		[]string{"del_timer", "^timer_delete", "flush_work", "cancel_work", "cancel_delayed_work", "__cancel_work_timer", "try_to_grab_pending", "drain_workqueue", "destroy_workqueue", "kthread_stop", "kobject_del", "kobject_put", "kobject_get", "kobject_add", "kobject_uevent", "add_uevent_var", "get_device_parent", "device_add", "device_del", "device_unregister", "device_destroy", "device_for_each_child", "device_remove_file", "hwrng_unregister", "i2c_del_adapter", "unregister_client", "rollback_registered", "unregister_netdev", "sysfs_remove", "sysfs_create", "kernfs_remove_by_name", "tty_unregister_device", "cdev_device_del", "^cdev_del", "^put_device", "^get_device", "^device_release$", "^devres_release", "^lock_timer_base", "^__mod_timer", "^mod_timer", "^add_timer", "^insert_work", "^__queue_work", "^queue_work", "^queue_delayed", "^__queue_delayed", "^delayed_work_timer"},
		// the USB core on behalf of drivers
		[]string{"dummy_urb_enqueue", "usb_kill_urb", "usb_kill_anchored_urbs", "usb_control_msg", "usb_hcd_submit_urb", "usb_submit_urb", "usb_start_wait_urb"},
	)
})

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
