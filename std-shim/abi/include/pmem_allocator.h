/*
 * An allocator for C++ containers in a pmem kind, which goes with its last copy.
 *
 * The interface is that of memkind 1.14.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef PMEM_ALLOCATOR_H
#define PMEM_ALLOCATOR_H 1

#include <cstddef>
#include <string>

#include "memkind_handle.h"

namespace libmemkind
{

/* When the space of freed blocks goes back to the file. */
enum class allocation_policy {
	DEFAULT = MEMKIND_MEM_USAGE_POLICY_DEFAULT,
	CONSERVATIVE = MEMKIND_MEM_USAGE_POLICY_CONSERVATIVE,
	MAX
};

namespace pmem
{

template <typename T> class allocator : public internal::kind_allocator<T, internal::kind_handle>
{
	using base = internal::kind_allocator<T, internal::kind_handle>;

public:
	template <class U> struct rebind {
		using other = allocator<U>;
	};

	/* Throws std::invalid_argument or std::runtime_error. */
	explicit allocator(const char *dir, std::size_t max_size,
		libmemkind::allocation_policy policy = libmemkind::allocation_policy::DEFAULT)
	    : base(internal::kind_handle(make(dir, max_size, policy)))
	{
	}

	explicit allocator(const std::string &dir, std::size_t max_size,
		libmemkind::allocation_policy policy = libmemkind::allocation_policy::DEFAULT)
	    : allocator(dir.c_str(), max_size, policy)
	{
	}

	allocator(const allocator &) = default;
	allocator &operator=(const allocator &) = default;

	template <typename U>
	allocator(const allocator<U> &other) noexcept : base(other.get_handle())
	{
	}

	template <typename U> allocator &operator=(const allocator<U> &other) noexcept
	{
		return *this = allocator(other);
	}

private:
	static memkind_t make(const char *dir, std::size_t max_size,
		libmemkind::allocation_policy policy)
	{
		struct memkind_config *config = memkind_config_new();
		if (!config)
			throw std::runtime_error("An error occurred while creating pmem config");
		memkind_config_set_path(config, dir);
		memkind_config_set_size(config, max_size);
		memkind_config_set_memory_usage_policy(config,
			static_cast<memkind_mem_usage_policy>(policy));
		memkind_t kind = nullptr;
		int code = memkind_create_pmem_with_config(config, &kind);
		memkind_config_delete(config);
		internal::check(code, "pmem");
		return kind;
	}
};

/* Allocators are equal if they have the same kind. */
template <typename U, typename V> bool operator==(const allocator<U> &a, const allocator<V> &b)
{
	return a.get_handle().get() == b.get_handle().get();
}

template <typename U, typename V> bool operator!=(const allocator<U> &a, const allocator<V> &b)
{
	return !(a == b);
}

} // namespace pmem
} // namespace libmemkind

#endif
