/* SPDX-License-Identifier: MIT */
/*
 * For Linux on Disco: a driver for network cards on a lan (docs/disco-net.md).  They are virtio's network devices; this driver takes
 * headers and payload in buffers of their own, the payload in whole pages, so that the monitor can map the sender's page there
 * instead of copying it.  What it sends are the packets as the kernel has them: of sendfile() the pages of the file.
 *
 * Other network cards, and these where this module is not, are virtio_net's.  Written for the kernels of Debian 12 (6.1).
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

enum {
	DISCO_VENDOR = 0xd15c,
	DISCO_NET_F_PAGES = 58,
	HEAD_BYTES = 256, /* headers that the monitor wants room for */
	HDR_BYTES = sizeof(struct virtio_net_hdr_mrg_rxbuf),
	TX_ROOM = MAX_SKB_FRAGS + 2, /* descriptors of one packet */
	/*
	 * With it a segment of TCP over IPv4 has one page, and what TCP gives to the card in one piece is whole pages of a file.
	 * "ip link set mtu 65535" makes packets as large as IP knows them.
	 */
	DEFAULT_MTU = 4096 + 20 + 20 + 12,
};

struct card {
	struct virtio_device *vdev;
	struct net_device *dev;
	struct virtqueue *rx, *tx, *pages;
	struct napi_struct napi;
	struct delayed_work refill;
	bool open;                      /* refill may be scheduled, and does something */
	struct scatterlist sg[TX_ROOM]; /* of whoever has the lock of the transmit queue */
};

/* ---- buffers to receive into: with napi's turn, or while it is off ---- */

static bool add_head(struct card *c, gfp_t gfp)
{
	struct sk_buff *skb = __netdev_alloc_skb(c->dev, NET_IP_ALIGN + HDR_BYTES + HEAD_BYTES, gfp);
	struct scatterlist sg;

	if (!skb)
		return false;
	skb_reserve(skb, NET_IP_ALIGN);
	sg_init_one(&sg, skb->data, HDR_BYTES + HEAD_BYTES);
	if (virtqueue_add_inbuf(c->rx, &sg, 1, skb, gfp) == 0)
		return true;
	kfree_skb(skb);
	return false;
}

static bool add_page(struct card *c, gfp_t gfp)
{
	struct page *page = alloc_page(gfp | __GFP_NOWARN);
	struct scatterlist sg;

	if (!page)
		return false;
	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, PAGE_SIZE, 0);
	if (virtqueue_add_inbuf(c->pages, &sg, 1, page, gfp) == 0)
		return true;
	__free_page(page);
	return false;
}

/* False: there is no memory now. */
static bool fill(struct card *c, gfp_t gfp)
{
	bool all = true;

	while (all && c->pages->num_free)
		all = add_page(c, gfp);
	while (all && c->rx->num_free)
		all = add_head(c, gfp);
	virtqueue_kick(c->pages);
	virtqueue_kick(c->rx);
	return all;
}

static void refill(struct work_struct *work)
{
	struct card *c = container_of(work, struct card, refill.work);
	bool all;

	if (!READ_ONCE(c->open))
		return;
	napi_disable(&c->napi);
	all = fill(c, GFP_KERNEL);
	napi_enable(&c->napi);
	if (!all)
		schedule_delayed_work(&c->refill, HZ / 2);
	local_bh_disable();
	napi_schedule(&c->napi);
	local_bh_enable();
}

/* ---- reception ---- */

/* The pages that belong to the header: false if the monitor has said nonsense. */
static bool add_frags(struct card *c, struct sk_buff *skb, unsigned int n)
{
	unsigned int len;

	for (unsigned int i = 0; i < n; i++) {
		struct page *page = virtqueue_get_buf(c->pages, &len);

		if (!page)
			return false;
		if (i >= MAX_SKB_FRAGS || !len || len > PAGE_SIZE) {
			__free_page(page);
			return false;
		}
		skb_add_rx_frag(skb, i, page, 0, len, PAGE_SIZE);
	}
	return true;
}

static void receive(struct card *c, struct sk_buff *skb, unsigned int len)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;

	if (len < HDR_BYTES || len > HDR_BYTES + HEAD_BYTES)
		goto bad;
	skb_put(skb, len);
	memcpy(&hdr, skb->data, HDR_BYTES);
	skb_pull(skb, HDR_BYTES);
	if (!add_frags(c, skb, le16_to_cpu(hdr.num_buffers)) || skb_headlen(skb) < ETH_HLEN)
		goto bad;
	c->dev->stats.rx_packets++;
	c->dev->stats.rx_bytes += skb->len;
	if (hdr.hdr.flags & VIRTIO_NET_HDR_F_DATA_VALID)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (virtio_net_hdr_to_skb(skb, &hdr.hdr, true))
		goto bad;
	skb->protocol = eth_type_trans(skb, c->dev);
	napi_gro_receive(&c->napi, skb);
	return;
bad:
	c->dev->stats.rx_errors++;
	dev_kfree_skb(skb);
}

/* ---- transmission ---- */

/* What the monitor has taken.  With the queue's lock. */
static void reclaim(struct card *c)
{
	struct sk_buff *skb;
	unsigned int len;

	while ((skb = virtqueue_get_buf(c->tx, &len)) != NULL) {
		c->dev->stats.tx_packets++;
		c->dev->stats.tx_bytes += skb->len;
		dev_consume_skb_any(skb);
	}
	if (c->tx->num_free >= TX_ROOM)
		netif_wake_queue(c->dev);
}

/* The monitor has mostly taken all when the kick returns; else it interrupts. */
static void kick(struct card *c)
{
	virtqueue_kick(c->tx);
	do {
		virtqueue_disable_cb(c->tx);
		reclaim(c);
	} while (c->tx->num_free < virtqueue_get_vring_size(c->tx) && !virtqueue_enable_cb(c->tx));
}

static netdev_tx_t start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct card *c = netdev_priv(dev);
	struct virtio_net_hdr_mrg_rxbuf *hdr = (struct virtio_net_hdr_mrg_rxbuf *)skb->cb;
	int n;

	BUILD_BUG_ON(sizeof(*hdr) > sizeof(skb->cb));
	if (virtio_net_hdr_from_skb(skb, &hdr->hdr, true, false, 0))
		goto drop;
	hdr->num_buffers = 0;
	sg_init_table(c->sg, TX_ROOM);
	sg_set_buf(c->sg, hdr, HDR_BYTES);
	n = skb_to_sgvec(skb, c->sg + 1, 0, skb->len);
	if (n < 0 || virtqueue_add_outbuf(c->tx, c->sg, n + 1, skb, GFP_ATOMIC) < 0)
		goto drop;
	if (c->tx->num_free < TX_ROOM)
		netif_stop_queue(dev);
	if (!netdev_xmit_more() || netif_queue_stopped(dev))
		kick(c);
	return NETDEV_TX_OK;
drop:
	dev->stats.tx_dropped++;
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

/* ---- interrupts ---- */

static void on_interrupt(struct virtqueue *vq)
{
	struct card *c = vq->vdev->priv;

	virtqueue_disable_cb(vq);
	napi_schedule(&c->napi);
}

static int poll(struct napi_struct *napi, int budget)
{
	struct card *c = container_of(napi, struct card, napi);
	struct netdev_queue *txq = netdev_get_tx_queue(c->dev, 0);
	unsigned int len, more;
	int n = 0;

	if (budget && __netif_tx_trylock(txq)) {
		reclaim(c);
		__netif_tx_unlock(txq);
	}
	while (n < budget) {
		struct sk_buff *skb = virtqueue_get_buf(c->rx, &len);

		if (!skb)
			break;
		receive(c, skb, len);
		n++;
	}
	if (n && !fill(c, GFP_ATOMIC) && READ_ONCE(c->open))
		schedule_delayed_work(&c->refill, 0);
	if (n == budget)
		return n;
	more = virtqueue_enable_cb_prepare(c->rx);
	if (napi_complete_done(napi, n) && virtqueue_poll(c->rx, more) && napi_schedule_prep(napi)) {
		virtqueue_disable_cb(c->rx);
		__napi_schedule(napi);
	}
	return n;
}

/* ---- the device ---- */

static int card_open(struct net_device *dev)
{
	struct card *c = netdev_priv(dev);

	bool all = fill(c, GFP_KERNEL);

	napi_enable(&c->napi);
	WRITE_ONCE(c->open, true);
	if (!all)
		schedule_delayed_work(&c->refill, 0);
	netif_start_queue(dev);
	local_bh_disable();
	napi_schedule(&c->napi); /* what came before */
	local_bh_enable();
	return 0;
}

static int card_stop(struct net_device *dev)
{
	struct card *c = netdev_priv(dev);

	netif_stop_queue(dev);
	WRITE_ONCE(c->open, false);
	cancel_delayed_work_sync(&c->refill); /* it waits for napi */
	napi_disable(&c->napi);
	cancel_delayed_work_sync(&c->refill); /* of the last turn */
	return 0;
}

static const struct net_device_ops ops = {
    .ndo_open = card_open,
    .ndo_stop = card_stop,
    .ndo_start_xmit = start_xmit,
    .ndo_validate_addr = eth_validate_addr,
    .ndo_features_check = passthru_features_check,
};

static const struct ethtool_ops ethtool = {.get_link = ethtool_op_get_link};

static int find_queues(struct card *c)
{
	/* The control queue is of no use here, but has its number. */
	static const char *const names[] = {"rx", "tx", "control", "pages"};
	vq_callback_t *callbacks[] = {on_interrupt, on_interrupt, NULL, NULL};
	struct virtqueue *vq[4];
	int err = virtio_find_vqs(c->vdev, 4, vq, callbacks, names, NULL);

	if (err)
		return err;
	c->rx = vq[0];
	c->tx = vq[1];
	c->pages = vq[3];
	virtqueue_disable_cb(c->tx);
	return 0;
}

static void describe(struct card *c)
{
	struct net_device *dev = c->dev;
	u8 mac[ETH_ALEN];

	virtio_cread_bytes(c->vdev, offsetof(struct virtio_net_config, mac), mac, ETH_ALEN);
	eth_hw_addr_set(dev, mac);
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = virtio_cread16(c->vdev, offsetof(struct virtio_net_config, mtu));
	dev->mtu = min_t(unsigned int, DEFAULT_MTU, dev->max_mtu);
	dev->netdev_ops = &ops;
	dev->ethtool_ops = &ethtool;
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN;
	dev->features = dev->hw_features | NETIF_F_HIGHDMA | NETIF_F_RXCSUM | NETIF_F_GSO_ROBUST;
}

static void free_buffers(struct card *c)
{
	struct sk_buff *skb;
	struct page *page;

	while ((skb = virtqueue_detach_unused_buf(c->rx)) != NULL)
		kfree_skb(skb);
	while ((page = virtqueue_detach_unused_buf(c->pages)) != NULL)
		__free_page(page);
	while ((skb = virtqueue_detach_unused_buf(c->tx)) != NULL)
		kfree_skb(skb);
}

static int card_probe(struct virtio_device *vdev)
{
	struct net_device *dev;
	struct card *c;
	int err;

	if (!virtio_has_feature(vdev, DISCO_NET_F_PAGES) || !virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_VQ))
		return -ENODEV;
	dev = alloc_etherdev(sizeof(*c));
	if (!dev)
		return -ENOMEM;
	SET_NETDEV_DEV(dev, &vdev->dev);
	c = netdev_priv(dev);
	c->vdev = vdev;
	c->dev = dev;
	vdev->priv = c;
	INIT_DELAYED_WORK(&c->refill, refill);
	describe(c);
	netif_napi_add(dev, &c->napi, poll);
	err = find_queues(c);
	if (err)
		goto free;
	virtio_device_ready(vdev);
	err = register_netdev(dev);
	if (err)
		goto queues;
	return 0;
queues:
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
free:
	free_netdev(dev);
	return err;
}

static void card_remove(struct virtio_device *vdev)
{
	struct card *c = vdev->priv;

	unregister_netdev(c->dev);
	virtio_reset_device(vdev);
	free_buffers(c);
	vdev->config->del_vqs(vdev);
	free_netdev(c->dev);
}

static const struct virtio_device_id ids[] = {{VIRTIO_ID_NET, DISCO_VENDOR}, {0}};
static const unsigned int features[] = {
    VIRTIO_NET_F_CSUM,       VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_MAC,       VIRTIO_NET_F_MTU,
    VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,  VIRTIO_NET_F_HOST_ECN,   VIRTIO_NET_F_CTRL_VQ,   DISCO_NET_F_PAGES,
};

static struct virtio_driver driver = {
    .feature_table = features,
    .feature_table_size = ARRAY_SIZE(features),
    .driver.name = KBUILD_MODNAME,
    .driver.owner = THIS_MODULE,
    .id_table = ids,
    .probe = card_probe,
    .remove = card_remove,
};

static int __init net_init(void) { return PAGE_SIZE == 4096 ? register_virtio_driver(&driver) : -ENODEV; }
static void __exit net_exit(void) { unregister_virtio_driver(&driver); }

module_init(net_init);
module_exit(net_exit);
MODULE_DEVICE_TABLE(virtio, ids);
MODULE_DESCRIPTION("Network cards on Disco's lans, whose payload is mapped");
MODULE_LICENSE("Dual MIT/GPL");
