/* SPDX-License-Identifier: MIT */
/*
 * For Linux on Disco: regions of memory that this machine has in common with others (--shared-region NAME=SIZE), as devices
 * /dev/disco/NAME.  open() puts the region's pages in the place of pages of this kernel's (docs/monitor-calls.md), and mmap() maps
 * those: loads and stores of programs go to the other machines' memory with nobody in between.
 *
 * Written for the kernels of Debian 12 (6.1).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "guest/modules/disco.h"

enum { REGIONS_MAX = 64 };

struct region {
	struct miscdevice misc;
	char name[CALL_REGION_NAME_BYTES], node[CALL_REGION_NAME_BYTES + 8];
	unsigned long number, pages;
	struct mutex lock;  /* of what follows */
	struct page **page; /* NULL: nobody has opened it */
};

static struct region *regions[REGIONS_MAX];

/* ---- its pages ---- */

/* What is to be a page of the kernel's again must be its own first. */
static void give_back(struct region *r, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		if (disco_call(CALL_REGION_LEAVE, page_to_phys(r->page[i]), 1))
			continue; /* the machine has no memory: lost, rather than two machines' */
		__free_page(r->page[i]);
	}
	kvfree(r->page);
	r->page = NULL;
}

static int take(struct region *r)
{
	unsigned long i;
	long err = 0;

	r->page = kvcalloc(r->pages, sizeof(*r->page), GFP_KERNEL);
	if (!r->page)
		return -ENOMEM;
	for (i = 0; i < r->pages; i++) {
		r->page[i] = alloc_page(GFP_KERNEL);
		if (!r->page[i]) {
			err = -ENOMEM;
			break;
		}
		err = disco_call(CALL_REGION_MAP, page_to_phys(r->page[i]), r->number << CALL_REGION_SHIFT | i);
		if (err) {
			__free_page(r->page[i]);
			break;
		}
	}
	if (err)
		give_back(r, i);
	return err;
}

/* They stay until the module goes: a page that programs have mapped cannot become another one. */
static int region_open(struct inode *inode, struct file *f)
{
	struct miscdevice *misc = f->private_data;
	struct region *r = container_of(misc, struct region, misc);
	int err = 0;

	mutex_lock(&r->lock);
	if (!r->page)
		err = take(r);
	mutex_unlock(&r->lock);
	f->private_data = r;
	return err;
}

/* ---- file operations ---- */

static int region_mmap(struct file *f, struct vm_area_struct *vma)
{
	struct region *r = f->private_data;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC) /* the monitor runs no code from there */
		return -EPERM;
	vma->vm_flags &= ~VM_MAYEXEC;
	return vm_map_pages(vma, r->page, r->pages);
}

static loff_t region_llseek(struct file *f, loff_t off, int whence)
{
	return fixed_size_llseek(f, off, whence, ((struct region *)f->private_data)->pages << PAGE_SHIFT);
}

/* How much of [*pos, *pos + n) is in the region and in one page. */
static size_t part(const struct region *r, loff_t pos, size_t n)
{
	size_t room = PAGE_SIZE - (pos & ~PAGE_MASK);

	if (pos < 0 || pos >= (loff_t)r->pages << PAGE_SHIFT)
		return 0;
	return min(n, room);
}

static char *at(const struct region *r, loff_t pos)
{
	return (char *)page_address(r->page[pos >> PAGE_SHIFT]) + (pos & ~PAGE_MASK);
}

static ssize_t region_read(struct file *f, char __user *to, size_t n, loff_t *pos)
{
	struct region *r = f->private_data;
	size_t done = 0, one;

	while (done < n && (one = part(r, *pos, n - done)) > 0) {
		if (copy_to_user(to + done, at(r, *pos), one))
			return done ? done : -EFAULT;
		done += one;
		*pos += one;
	}
	return done;
}

static ssize_t region_write(struct file *f, const char __user *from, size_t n, loff_t *pos)
{
	struct region *r = f->private_data;
	size_t done = 0, one;

	while (done < n && (one = part(r, *pos, n - done)) > 0) {
		if (copy_from_user(at(r, *pos), from + done, one))
			return done ? done : -EFAULT;
		done += one;
		*pos += one;
	}
	return done || !n ? done : -ENOSPC;
}

static const struct file_operations region_ops = {
    .owner = THIS_MODULE,
    .open = region_open,
    .mmap = region_mmap,
    .llseek = region_llseek,
    .read = region_read,
    .write = region_write,
};

/* ---- finding them ---- */

/* 0, -ENOENT: there is no region of that number. */
static int find(unsigned long number)
{
	struct region *r = kzalloc(sizeof(*r), GFP_KERNEL);
	long pages;
	int err;

	if (!r)
		return -ENOMEM;
	pages = disco_call(CALL_REGION, number, virt_to_phys(r->name));
	err = pages < 0 ? pages : 0;
	if (!err) {
		r->name[sizeof(r->name) - 1] = 0;
		snprintf(r->node, sizeof(r->node), "disco/%s", r->name);
		r->number = number;
		r->pages = pages;
		mutex_init(&r->lock);
		r->misc = (struct miscdevice){.minor = MISC_DYNAMIC_MINOR,
					      .name = r->node,
					      .nodename = r->node,
					      .fops = &region_ops,
					      .mode = 0600};
		err = misc_register(&r->misc);
	}
	if (err) {
		kfree(r);
		return err;
	}
	regions[number] = r;
	pr_info("/dev/%s, %ld KiB\n", r->node, pages << (PAGE_SHIFT - 10));
	return 0;
}

static void remove_all(void)
{
	for (unsigned i = 0; i < REGIONS_MAX && regions[i]; i++) {
		misc_deregister(&regions[i]->misc);
		if (regions[i]->page)
			give_back(regions[i], regions[i]->pages);
		kfree(regions[i]);
	}
}

static int __init region_init(void)
{
	int err = 0;

	if (PAGE_SIZE != 4096 || disco_call(CALL_VERSION, 0, 0) < 2)
		return -ENODEV;
	for (unsigned i = 0; i < REGIONS_MAX && !err; i++)
		err = find(i);
	if (err == -ENOENT)
		err = regions[0] ? 0 : -ENODEV;
	if (err)
		remove_all();
	return err;
}

static void __exit region_exit(void) { remove_all(); }

module_init(region_init);
module_exit(region_exit);
MODULE_DESCRIPTION("Memory in common with other machines on Disco");
MODULE_LICENSE("Dual MIT/GPL");
