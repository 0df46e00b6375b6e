// flowtable/flow_text.h: the flow language both ways, its errors, and garbage.
#include "common/error.h"
#include "common/text.h"
#include "flowtable/flow_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const port_list[] = { "vm1", "vm-2", "a \"b\\,c", "normal" };

static uint32_t port_number(void *context, const char *name)
{
	(void)context;
	for (uint32_t i = 0; i < 4; i++)
		if (!strcmp(name, port_list[i]))
			return 101 + i;
	return OFPP_ANY;
}

static const char *port_name(void *context, uint32_t number)
{
	(void)context;
	return number >= 101 && number <= 104 ? port_list[number - 101] : NULL;
}

static const struct port_names ports = { .number = port_number, .name = port_name };

// The canonical form of a flow; NULL after an error.
static char *canonical(const char *line, const struct port_names *names, struct error *error)
{
	struct flow_text flow;
	struct text text = { 0 };

	if (flow_text_parse(line, FLOW_TEXT_ADD, names, &flow, error))
		return NULL;
	flow_format_match(&flow.match, flow.priority, names, &text);
	text_add(&text, text.length ? " actions=" : "actions=");
	program_format(flow.program, names, &text);
	flow_text_release(&flow);
	return text_steal(&text);
}

static void expect(const char *line, const char *wanted, const struct port_names *names)
{
	struct error error;
	char *got = canonical(line, names, &error);
	char *again;

	if (!got)
		fail_msg("%s: column %d: %s", line, error.column, error.message);
	if (strcmp(got, wanted))
		fail_msg("%s\n  gave   %s\n  wanted %s", line, got, wanted);
	again = canonical(got, names, &error);
	if (!again)
		fail_msg("%s: column %d: %s", got, error.column, error.message);
	assert_string_equal(again, got);
	free(again);
	free(got);
}

// What users type, and what dump-flows prints for it.
static const char *const flows[][2] = {
	{ "actions=drop", "actions=drop" },
	{ "actions=", "actions=drop" },
	{ "priority=0 actions=NORMAL", "priority=0 actions=NORMAL" },
	{ "priority=0,action=normal", "priority=0 actions=NORMAL" },
	{ "in_port=1,actions=2", "in_port=1 actions=output:2" },
	{ "in_port=LOCAL,actions=output:in_port,flood,all,local",
	  "in_port=LOCAL actions=IN_PORT,FLOOD,ALL,LOCAL" },
	{ "tcp,nw_dst=10.0.0.1,tp_dst=80,actions=output:2",
	  "tcp,nw_dst=10.0.0.1,tp_dst=80 actions=output:2" },
	{ "tp_dst=80,nw_dst=10.0.0.1/255.255.255.255,nw_proto=6,dl_type=0x800 actions=2",
	  "tcp,nw_dst=10.0.0.1,tp_dst=80 actions=output:2" },
	{ "dl_type=0x0806,actions=drop", "arp actions=drop" },
	{ "eth_type=0x1234,eth_dst=00:11:22:33:44:55,actions=drop",
	  "dl_dst=00:11:22:33:44:55,dl_type=0x1234 actions=drop" },
	{ "arp,nw_src=1.2.3.4,nw_proto=1,actions=drop",
	  "arp,arp_spa=1.2.3.4,arp_op=1 actions=drop" },
	{ "arp,arp_op=1,arp_sha=00:11:22:33:44:55,arp_tha=00:00:00:00:00:00,arp_tpa=1.2.3.0/24,"
	  "actions=drop",
	  "arp,arp_tpa=1.2.3.0/24,arp_op=1,arp_sha=00:11:22:33:44:55,"
	  "arp_tha=00:00:00:00:00:00 actions=drop" },
	{ "dl_vlan=5,dl_vlan_pcp=3,actions=drop", "dl_vlan=5,dl_vlan_pcp=3 actions=drop" },
	{ "vlan_vid=0x1005/0x1fff,actions=drop", "dl_vlan=5 actions=drop" },
	{ "vlan_vid=0x1000/0x1000,actions=drop", "vlan_tci=0x1000/0x1000 actions=drop" },
	{ "vlan_vid=0x1005/0x100f,actions=drop", "vlan_tci=0x1005/0x100f actions=drop" },
	{ "vlan_tci=0,actions=drop", "vlan_tci=0x0000 actions=drop" },
	{ "dl_vlan=0xffff,actions=drop", "vlan_tci=0x0000 actions=drop" },
	{ "vlan_vid=0,actions=drop", "vlan_tci=0x0000/0x1fff actions=drop" },
	{ "vlan_tci=0xb005,actions=drop", "dl_vlan=5,dl_vlan_pcp=5 actions=drop" },
	{ "vlan_pcp=2,vlan_vid=0x1005,actions=drop", "dl_vlan=5,dl_vlan_pcp=2 actions=drop" },
	{ "dl_vlan=1,vlan_vid1=0x1002,vlan_pcp1=3,actions=drop",
	  "dl_vlan=1,dl_vlan1=2,dl_vlan_pcp1=3 actions=drop" },
	{ "ip,nw_tos=252,nw_ecn=1,nw_ttl=3,actions=drop",
	  "ip,nw_tos=252,nw_ecn=1,nw_ttl=3 actions=drop" },
	{ "ip,ip_dscp=4,ip_ecn=2,actions=drop", "ip,nw_tos=16,nw_ecn=2 actions=drop" },
	{ "ip,nw_frag=not_later,actions=drop", "ip,nw_frag=not_later actions=drop" },
	{ "ipv6,ip_frag=first,ipv6_src=fe80::/64,ipv6_label=5,actions=drop",
	  "ipv6,ipv6_src=fe80::/64,ipv6_label=0x00005,nw_frag=first actions=drop" },
	{ "tcp,tcp_flags=+syn-ack,actions=drop", "tcp,tcp_flags=+syn-ack actions=drop" },
	{ "tcp,tcp_flags=0x2/0x12,actions=drop", "tcp,tcp_flags=+syn-ack actions=drop" },
	{ "tcp,tcp_flags=syn|ack,actions=drop", "tcp,tcp_flags=syn|ack actions=drop" },
	{ "tcp,tcp_flags=+[200],actions=drop", "tcp,tcp_flags=+[200] actions=drop" },
	{ "tcp,tcp_flags=0,actions=drop", "tcp,tcp_flags=0 actions=drop" },
	{ "tcp6,tp_src=0x50/0xfff0,actions=drop", "tcp6,tp_src=0x50/0xfff0 actions=drop" },
	{ "icmp,icmp_type=8,icmp_code=0,actions=drop",
	  "icmp,icmp_type=8,icmp_code=0 actions=drop" },
	{ "icmp6,icmpv6_type=135,nd_target=fe80::1,nd_sll=00:11:22:33:44:55,actions=drop",
	  "icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=00:11:22:33:44:55 actions=drop" },
	{ "sctp,sctp_dst=9,actions=drop", "sctp,tp_dst=9 actions=drop" },
	{ "mpls,mpls_label=4,mpls_tc=2,mpls_bos=1,mpls_ttl=4,actions=drop",
	  "mpls,mpls_label=4,mpls_tc=2,mpls_ttl=4,mpls_bos=1 actions=drop" },
	{ "reg0=1,reg5=4/7,reg31=0,metadata=5/0xff,tun_id=7,actions=drop",
	  "reg0=0x1,reg5=0x4/0x7,reg31=0,tun_id=0x7,metadata=0x5/0xff actions=drop" },
	{ "xreg0=0x100000002,actions=drop", "reg0=0x1,reg1=0x2 actions=drop" },
	{ "xxreg0=0/0xf000000000f,actions=drop", "reg2=0/0xf00,reg3=0/0xf actions=drop" },
	{ "ip,ct_state=+trk+est,ct_mark=4/6,ct_nw_src=1.2.3.4,actions=drop",
	  "ct_state=+est+trk,ct_mark=0x4/0x6,ct_nw_src=1.2.3.4,ip actions=drop" },
	{ "dl_type=0x894f,nsh_spi=4,nsh_c2=4/7,actions=drop",
	  "dl_type=0x894f,nsh_spi=0x4,nsh_c2=0x4/0x7 actions=drop" },
	{ "packet_type=(1,0x800),nw_src=1.2.3.4,actions=drop",
	  "packet_type=(1,0x800),nw_src=1.2.3.4 actions=drop" },
	{ "packet_type=(0,0),eth,dl_src=*,actions=drop", "actions=drop" },
	{ "ip,nw_src=10.0.2.0/255.0.255.0,actions=drop",
	  "ip,nw_src=10.0.2.0/255.0.255.0 actions=drop" },
	{ "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
	  "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop" },
	{ " cookie=0x0, duration=1.2s, table=0, n_packets=0, n_bytes=0, idle_age=1, "
	  "priority=10,ip actions=output:1",
	  "priority=10,ip actions=output:1" },
	{ "actions=resubmit:5,resubmit(5),resubmit(5,6),resubmit(,6),resubmit(in_port,7)",
	  "actions=resubmit:5,resubmit:5,resubmit(5,6),resubmit(,6),resubmit(,7)" },
	{ "actions=load:5->NXM_NX_REG0[0..3],load:0x1->reg0[4],load:7->reg1",
	  "actions=load:0x5->NXM_NX_REG0[0..3],load:0x1->NXM_NX_REG0[4],load:0x7->NXM_NX_REG1[]" },
	{ "actions=load:0xffffffffffffffffffffffffffffffff->xxreg0,load:0->xxreg1[64..127]",
	  "actions=load:0xffffffffffffffffffffffffffffffff->NXM_NX_XXREG0[],"
	  "load:0->NXM_NX_XXREG1[64..127]" },
	{ "actions=set_field:5->reg1,set_field:1/3->reg2,set_field:7->xreg3",
	  "actions=set_field:0x5->reg1,set_field:0x1/0x3->reg2,set_field:0x7->xreg3" },
	{ "actions=set_field:00:11:22:33:44:55->dl_src",
	  "actions=set_field:00:11:22:33:44:55->eth_src" },
	{ "ipv6,actions=set_field:fe80::1->ipv6_dst,dec_ttl",
	  "ipv6 actions=set_field:fe80::1->ipv6_dst,dec_ttl" },
	// Bits outside of the mask mean nothing.
	{ "ip,nw_dst=10.0.0.1/8,reg1=0x13/0xf0,actions=drop",
	  "ip,reg1=0x10/0xf0,nw_dst=10.0.0.0/8 actions=drop" },
	// OpenFlow 1.0 has no prerequisites.
	{ "actions=mod_nw_src:1.2.3.4,mod_nw_tos:4,mod_nw_ttl:9,dec_ttl,mod_tp_src:5,mod_tp_dst:6",
	  "actions=mod_nw_src:1.2.3.4,mod_nw_tos:4,mod_nw_ttl:9,dec_ttl,mod_tp_src:5,mod_tp_dst:"
	  "6" },
	{ "icmp,actions=mod_tp_src:5,pop_mpls:0x0800,dec_mpls_ttl,set_mpls_label:5",
	  "icmp actions=mod_tp_src:5,pop_mpls:0x0800,dec_mpls_ttl,set_mpls_label(5)" },
	{ "udp,actions=set_field:53->tp_dst,mod_tp_src:5",
	  "udp actions=set_field:53->udp_dst,mod_tp_src:5" },
	{ "actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],move:reg0[0..3]->reg1[4..7]",
	  "actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],"
	  "move:NXM_NX_REG0[0..3]->NXM_NX_REG1[4..7]" },
	{ "actions=push_vlan:0x8100,set_field:5->vlan_vid,set_field:3->vlan_pcp,output:1",
	  "actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp,output:1" },
	{ "dl_vlan=5,actions=pop_vlan,strip_vlan", "dl_vlan=5 actions=pop_vlan,strip_vlan" },
	{ "actions=mod_vlan_vid:5,mod_vlan_pcp:3,set_field:4->vlan_pcp",
	  "actions=mod_vlan_vid:5,mod_vlan_pcp:3,set_field:4->vlan_pcp" },
	{ "ip,actions=mod_nw_src:1.2.3.4,mod_nw_dst:1.2.3.5,mod_nw_tos:4,mod_nw_ttl:4,mod_nw_ecn:2",
	  "ip "
	  "actions=mod_nw_src:1.2.3.4,mod_nw_dst:1.2.3.5,mod_nw_tos:4,mod_nw_ttl:4,mod_nw_ecn:2" },
	{ "actions=write_actions(set_field:5->reg0,output:1),write_metadata:5/7,goto_table:2",
	  "actions=write_actions(set_field:0x5->reg0,output:1),write_metadata:0x5/"
	  "0x7,goto_table:2" },
	{ "actions=meter=7,output:1", "actions=meter:7,output:1" },
	{ "actions=meter(65535),write_actions(output:1),goto_table:3",
	  "actions=meter:65535,write_actions(output:1),goto_table:3" },
	{ "actions=meter:1", "actions=meter:1" },
	{ "actions=group:7,write_actions(group:0xffffff00)",
	  "actions=group:7,write_actions(group:4294967040)" },
	{ "actions=apply_actions(output:1,output:2),clear_actions,goto_table:5",
	  "actions=output:1,output:2,clear_actions,goto_table:5" },
	{ "actions=controller,controller:100,controller(max_len=100,reason=action,id=5)",
	  "actions=CONTROLLER:65535,CONTROLLER:100,controller(max_len=100,id=5)" },
	{ "actions=controller(userdata=01.0203,pause,reason=invalid_ttl)",
	  "actions=controller(reason=invalid_ttl,userdata=01.02.03,pause)" },
	{ "actions=output:reg0[0..15],output:NXM_NX_REG1[],output(port=1,max_len=100)",
	  "actions=output:NXM_NX_REG0[0..15],output:NXM_NX_REG1[],output(port=1,max_len=100)" },
	{ "actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:in_port),1",
	  "actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),"
	  "output:1" },
	{ "tcp,actions=fin_timeout(idle_timeout=5),1",
	  "tcp actions=fin_timeout(idle_timeout=5),output:1" },
	{ "ip,actions=ct,ct(),ct( commit )", "ip actions=ct(),ct(),ct(commit)" },
	{ "ip,actions=ct(zone=65535,table=0,force,commit)",
	  "ip actions=ct(commit,force,table=0,zone=65535)" },
	{ "ip,actions=ct(table=1,zone=reg0[0..15],nat)",
	  "ip actions=ct(table=1,zone=NXM_NX_REG0[0..15],nat)" },
	{ "tcp,actions=ct(commit,nat(random,src=10.0.0.1-10.0.0.5:10-20,persistent),alg=ftp,zone="
	  "0)",
	  "tcp actions=ct(commit,nat(src=10.0.0.1-10.0.0.5:10-20,persistent,random),alg=ftp)" },
	{ "udp,actions=ct(commit,nat(dst=1.1.1.1-1.1.1.1:5-5,hash),alg=tftp)",
	  "udp actions=ct(commit,nat(dst=1.1.1.1:5,hash),alg=tftp)" },
	{ "ip,actions=ct(commit,nat(src=0.0.0.0)),ct(commit,nat(src))",
	  "ip actions=ct(commit,nat(src=0.0.0.0)),ct(commit,nat(src))" },
	{ "ipv6,actions=ct(commit,nat(src=fe80::1-fe80::5)),ct(commit,nat(dst=[fe80::1]))",
	  "ipv6 actions=ct(commit,nat(src=fe80::1-fe80::5)),ct(commit,nat(dst=fe80::1))" },
	{ "ipv6,actions=ct(commit,nat(dst=[fe80::1]-[fe80::2]:80-90))",
	  "ipv6 actions=ct(commit,nat(dst=[fe80::1]-[fe80::2]:80-90))" },
	{ "ip,actions=ct(commit,exec(set_field:1->ct_mark,load:5->NXM_NX_CT_LABEL[0..7],"
	  "move:reg0->ct_mark),table=4),2",
	  "ip "
	  "actions=ct(commit,table=4,exec(set_field:0x1->ct_mark,load:0x5->NXM_NX_CT_LABEL[0..7],"
	  "move:NXM_NX_REG0[]->NXM_NX_CT_MARK[])),output:2" },
	{ "actions=ct_clear", "actions=ct_clear" },
	{ "ip,ct_state=+trk-inv,actions=resubmit(,3,ct),resubmit(1,2,ct),resubmit(1,,ct)",
	  "ct_state=-inv+trk,ip actions=resubmit(,3,ct),resubmit(1,2,ct),resubmit(1,,ct)" },
	{ "actset_output=unset,actions=drop", "actset_output=UNSET actions=drop" },
	{ "actset_output=LOCAL,actions=drop", "actset_output=LOCAL actions=drop" },
	{ "actions=debug_recirc,debug_slow", "actions=debug_recirc,debug_slow" },
	{ "mpls,actions=copy_ttl_in,copy_ttl_out,write_actions(copy_ttl_in)",
	  "mpls actions=copy_ttl_in,copy_ttl_out,write_actions(copy_ttl_in)" },
	{ "conj_id=0x10,actions=drop", "conj_id=16 actions=drop" },
	{ "ip,nw_src=10.0.0.1,actions=conjunction(1234, 1/2),note:11,"
	  "conjunction(4294967295,64/64)",
	  "ip,nw_src=10.0.0.1 actions=conjunction(1234,1/2),note:11.00.00.00.00.00,"
	  "conjunction(4294967295,64/64)" },
	{ "actions=note:01.02.03,note:,note:0102030405060708.,exit",
	  "actions=note:01.02.03.00.00.00,note:00.00.00.00.00.00,"
	  "note:01.02.03.04.05.06.07.08.00.00.00.00.00.00,exit" },
	{ "actions=clone(output:1,push:reg0,set_field:5->reg1,clone()),clone(drop)",
	  "actions=clone(output:1,push:NXM_NX_REG0[],set_field:0x5->reg1,clone(drop)),clone("
	  "drop)" },
	{ "actions=push:reg0[0..5],pop:NXM_NX_REG2[0..5],push(in_port),pop:xxreg0,push:eth_type",
	  "actions=push:NXM_NX_REG0[0..5],pop:NXM_NX_REG2[0..5],push:NXM_OF_IN_PORT[],"
	  "pop:NXM_NX_XXREG0[],push:NXM_OF_ETH_TYPE[]" },
	{ "tcp,actions=push:tcp_src,clone(set_field:5->tcp_dst),pop:tcp_dst",
	  "tcp actions=push:NXM_OF_TCP_SRC[],clone(set_field:5->tcp_dst),pop:NXM_OF_TCP_DST[]" },
	{ "ip,actions=dec_ttl(1,2),dec_ttl(),dec_ttl(0)",
	  "ip actions=dec_ttl(1,2),dec_ttl,dec_ttl(0)" },
	{ "tcp,actions=fin_timeout(idle_timeout=5,hard_timeout=6),fin_timeout(),"
	  "fin_timeout(hard_timeout=7)",
	  "tcp actions=fin_timeout(idle_timeout=5,hard_timeout=6),fin_timeout(),"
	  "fin_timeout(hard_timeout=7)" },
	{ "actions=enqueue:1:2,enqueue(3,4),enqueue:in_port:5,enqueue(local:6)",
	  "actions=enqueue:1:2,enqueue:3:4,enqueue:IN_PORT:5,enqueue:LOCAL:6" },
	{ "actions=set_queue:5,pop_queue,write_actions(set_queue:0x10)",
	  "actions=set_queue:5,pop_queue,write_actions(set_queue:16)" },
	{ "actions=check_pkt_larger(1500)->reg0[3],check_pkt_larger(0x10)->NXM_NX_REG9[0]",
	  "actions=check_pkt_larger(1500)->NXM_NX_REG0[3],check_pkt_larger(16)->NXM_NX_REG9[0]" },
	{ "dl_type=0x894f,nsp=3,nsi=4,nshc1=5/7,nsh_ttl=6,nsh_np=1,nsh_mdtype=1,nsh_flags=2,"
	  "actions=dec_nsh_ttl,set_field:9->nsh_ttl,load:1->NXOXM_NSH_C4[3],write_actions(dec_nsh_"
	  "ttl)",
	  "dl_type=0x894f,nsh_flags=2,nsh_ttl=6,nsh_mdtype=1,nsh_np=1,nsh_spi=0x3,nsh_si=4,nsh_c1="
	  "0x5/0x7 "
	  "actions=dec_nsh_ttl,set_field:9->nsh_ttl,load:0x1->NXOXM_NSH_C4[3],write_actions(dec_"
	  "nsh_ttl)" },
	{ "packet_type=(1,0x800),nw_src=1.2.3.4,actions=encap(nsh(md_type=1)),encap(ethernet),set_"
	  "field:00:00:00:00:00:01->eth_dst,encap(mpls),set_field:3->mpls_label,encap(mpls_mc),"
	  "decap(packet_type(ns=1,type=0x8847)),decap(packet_type(ns=1,type=0x800)),set_field:1.2."
	  "3.4->ip_dst",
	  "packet_type=(1,0x800),nw_src=1.2.3.4 "
	  "actions=encap(nsh(md_type=1)),encap(ethernet),set_field:00:00:00:00:00:01->eth_dst,"
	  "encap(mpls),set_field:3->mpls_label,encap(mpls_mc),decap(packet_type(ns=1,type=0x8847)),"
	  "decap(packet_type(ns=1,type=0x800)),set_field:1.2.3.4->ip_dst" },
	{ "packet_type=(1,0x800),ip,nw_ttl=3,actions=write_actions(encap(nsh),decap())",
	  "packet_type=(1,0x800),nw_ttl=3 actions=write_actions(encap(nsh),decap())" },
	{ "ip,actions=decap(),set_field:1.2.3.4->ip_src,encap(nsh(md_type=2,tlv(0x1000,10,"
	  "0x12345678),"
	  "tlv(1,2,0x1234567890))),dec_nsh_ttl",
	  "ip "
	  "actions=decap(),set_field:1.2.3.4->ip_src,encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),"
	  "tlv(0x0001,2,0x1234567890))),dec_nsh_ttl" },
	{ "tun_metadata3,actions=drop", "tun_metadata3 actions=drop" },
	{ "tun_metadata3,tun_metadata3=0x10/0xf0,actions=drop",
	  "tun_metadata3,tun_metadata3=0x10/0xf0 actions=drop" },
	{ "tun_metadata63=4,tun_flags=+oam,actions=set_field:5->tun_metadata1,"
	  "load:1->tun_metadata2[3],move:tun_metadata1[0..7]->NXM_NX_REG0[0..7],push:tun_metadata0",
	  "tun_flags=+oam,tun_metadata63=0x4 actions=set_field:0x5->tun_metadata1,"
	  "load:0x1->NXM_NX_TUN_METADATA2[3],move:NXM_NX_TUN_METADATA1[0..7]->NXM_NX_REG0[0..7],"
	  "push:NXM_NX_TUN_METADATA0[]" },
	{ "actions=delete_field:tun_metadata0,delete_field:tun_metadata63",
	  "actions=delete_field:tun_metadata0,delete_field:tun_metadata63" },
	{ "actions=sample(probability=100),sample(probability=65535,collector_set_id=1,"
	  "obs_domain_id=2,obs_point_id=3,sampling_port=4,egress),sample(ingress,probability=1)",
	  "actions=sample(probability=100,collector_set_id=0,obs_domain_id=0,obs_point_id=0),"
	  "sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3,"
	  "sampling_port=4,egress),"
	  "sample(probability=1,collector_set_id=0,obs_domain_id=0,obs_point_id=0,ingress)" },
	{ "actions=multipath(eth_src,50,modulo_n,2,0,reg0[0..7]),multipath(symmetric_l3l4+udp, 50, "
	  "iter_hash, 12, 13,NXM_NX_REG0[]),multipath(nw_dst,0,hrw,65536,0,reg1[0..15])",
	  "actions=multipath(eth_src,50,modulo_n,2,0,NXM_NX_REG0[0..7]),"
	  "multipath(symmetric_l3l4+udp,50,iter_hash,12,13,NXM_NX_REG0[]),"
	  "multipath(nw_dst,0,hrw,65536,0,NXM_NX_REG1[0..15])" },
	{ "actions=bundle(eth_src,0,hrw,ofport,members:4,8),bundle(nw_src,1,active_backup,ofport,"
	  "slaves:local),bundle(symmetric_l3,0,hrw,ofport,members:)",
	  "actions=bundle(eth_src,0,hrw,ofport,members:4,8),"
	  "bundle(nw_src,1,active_backup,ofport,members:LOCAL),"
	  "bundle(symmetric_l3,0,hrw,ofport,members:)" },
	{ "actions=bundle_load(symmetric_l4,60,active_backup,ofport,reg0,members:2,3)",
	  "actions=bundle_load(symmetric_l4,60,active_backup,ofport,NXM_NX_REG0[],members:2,3)" },
	{ "actions=push_mpls:0x8847,set_mpls_label:0x10,set_mpls_tc:3,set_mpls_ttl(9),dec_mpls_ttl,"
	  "set_field:10->mpls_label,load:3->mpls_tc,pop_mpls:0x0800,mod_nw_src:1.2.3.4",
	  "actions=push_mpls:0x8847,set_mpls_label(16),set_mpls_tc(3),set_mpls_ttl(9),dec_mpls_ttl,"
	  "set_field:10->mpls_label,load:0x3->OXM_OF_MPLS_TC[],pop_mpls:0x0800,mod_nw_src:1.2.3."
	  "4" },
	{ "mpls,actions=write_actions(push_mpls:0x8848,dec_mpls_ttl,pop_mpls:0x8847)",
	  "mpls actions=write_actions(push_mpls:0x8848,dec_mpls_ttl,pop_mpls:0x8847)" },
	{ "actions=controller(max_len=5,meter_id=3),controller(userdata=01,pause,meter_id=3,id=4)",
	  "actions=controller(max_len=5,meter_id=3),"
	  "controller(id=4,userdata=01,pause,meter_id=3)" },
	{ "actions=set_tunnel:5,set_tunnel64:0x500000000",
	  "actions=set_tunnel:0x5,set_tunnel64:0x500000000" },
	{ "actions=1 ,2  3", "actions=output:1,output:2,output:3" },
	{ "actions=output:65534,output:0xfffffffe", "actions=LOCAL,LOCAL" },
};

static void test_flows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
		expect(flows[i][0], flows[i][1], NULL);
}

static void test_port_names(void **state)
{
	(void)state;
	expect("in_port=vm1,actions=output:vm1,vm1,102",
	       "in_port=vm1 actions=output:vm1,output:vm1,"
	       "output:\"vm-2\"",
	       &ports);
	expect("in_port=\"vm-2\",actions=\"vm-2\",vm-2,resubmit(vm1,2)",
	       "in_port=\"vm-2\" actions=output:\"vm-2\",output:\"vm-2\",resubmit(vm1,2)", &ports);
	expect("actions=103,output(port=103,max_len=64)",
	       "actions=output:\"a \\\"b\\\\,c\",output(port=\"a \\\"b\\\\,c\",max_len=64)",
	       &ports);
	expect("actions=104,normal", "actions=output:\"normal\",NORMAL", &ports);
	expect("actions=resubmit:vm1,set_field:vm1->in_port",
	       "actions=resubmit:vm1,set_field:vm1->in_port", &ports);
}

// A mistake, the column it is in, and a word that the message must have.
static const struct {
	const char *line;
	int column;
	const char *says;
} mistakes[] = {
	{ "tp_dst=80,actions=drop", 1, "add icmp, icmp6, tcp, udp or sctp" },
	{ "ip,tcp_dst=80,actions=drop", 4, "TCP" },
	{ "nw_src=1.2.3.4,actions=drop", 1, "IPv4" },
	{ "arp,nw_ttl=3,actions=drop", 5, "IP match" },
	{ "vlan_pcp=3,actions=drop", 1, "dl_vlan" },
	{ "in_port=1,nw_scr=1.2.3.4,actions=drop", 11, "nw_src" },
	{ "banana=1,actions=drop", 1, "banana" },
	{ "in_port=1,in_port=2,actions=drop", 11, "contradicts" },
	{ "tcp,udp,actions=drop", 5, "contradicts" },
	{ "ip,ipv6,actions=drop", 4, "contradicts" },
	{ "tcp,nw_proto=17,actions=drop", 5, "contradicts" },
	{ "ip", 3, "actions" },
	{ "ip,", 4, "actions" },
	{ "", 1, "actions" },
	{ "ip,nw_ttl=256,actions=drop", 11, "255" },
	{ "ip,nw_ttl=,actions=drop", 11, "value" },
	{ "ip,nw_ttl,actions=drop", 4, "value" },
	{ "ip,nw_ttl=5/3,actions=drop", 13, "mask" },
	{ "ip,nw_dst=10.0.0.0/33,actions=drop", 20, "32" },
	{ "ip,nw_dst=10.0.0,actions=drop", 11, "IPv4 address" },
	{ "ip,nw_tos=3,actions=drop", 11, "ECN" },
	{ "ip,nw_frag=maybe,actions=drop", 12, "first" },
	{ "tcp,tcp_flags=+foo,actions=drop", 16, "foo" },
	{ "tcp,tcp_flags=+syn+syn,actions=drop", 20, "twice" },
	{ "dl_vlan=4096,actions=drop", 9, "4095" },
	{ "dl_src=00:11:22:33:44,actions=drop", 8, "Ethernet address" },
	{ "ipv6,ipv6_src=fe80::1::2,actions=drop", 15, "IPv6 address" },
	{ "reg0=0x100000000,actions=drop", 6, "4294967295" },
	{ "metadata=99999999999999999999,actions=drop", 10, "metadata" },
	{ "xxreg0=0x100000000000000000000000000000000,actions=drop", 8, "128 bits" },
	{ "in_port=70000,actions=drop", 9, "65279" },
	{ "in_port=vm9,actions=drop", 9, "vm9" },
	{ "priority=65536,actions=drop", 10, "65535" },
	{ "table=255,actions=drop", 7, "254" },
	{ "cookie=1/2,actions=drop", 10, "mask" },
	{ "out_port=1,actions=drop", 1, "out_port" },
	{ "idle_timeout,actions=drop", 1, "value" },
	{ "send_flow_rem=1,actions=drop", 1, "value" },
	{ "tcp=6,actions=drop", 1, "value" },
	{ "=5,actions=drop", 1, "name" },
	{ "packet_type=(1,2,actions=drop", 13, "closed" },
	{ "in_port=\"vm1,actions=drop", 9, "closed" },
	{ "in_port=1),actions=drop", 10, "closes" },
	{ "actions=output:1)", 17, "closes" },
	{ "actions=output:1,drop", 18, "alone" },
	{ "actions=outptu:1", 9, "output" },
	{ "actions=foo", 9, "foo" },
	{ "actions=output", 15, "missing" },
	{ "actions=output:", 16, "missing" },
	{ "actions=output:any", 16, "cannot" },
	{ "actions=output(port=1)", 9, "max_len" },
	{ "actions=output(port=1,max_len=100)x", 35, "')'" },
	{ "actions=output(porrt=1,max_len=100)", 16, "porrt" },
	{ "actions=normal:1", 16, "argument" },
	{ "actions=set_field:5->foo", 22, "foo" },
	{ "actions=set_field:5", 9, "->" },
	{ "actions=set_field:2->eth_type", 22, "written" },
	{ "actions=set_field:5->tcp_dst", 22, "TCP" },
	{ "ip,actions=set_field:5->tcp_dst", 25, "TCP" },
	{ "actions=set_field:5->vlan_vid", 22, "push_vlan" },
	{ "actions=set_field:5->vlan_pcp", 22, "push_vlan" },
	{ "dl_vlan=1,actions=strip_vlan,set_field:5->vlan_vid", 43, "push_vlan" },
	{ "actions=load:16->reg0[0..3]", 14, "4 bits" },
	{ "actions=load:1->reg0[0..32]", 25, "31" },
	{ "actions=load:1->reg0[0..3", 21, "[FIRST..LAST]" },
	{ "actions=load:1->NXM_OF_IP_SRC[]", 17, "IPv4" },
	{ "actions=move:reg0[0..3]->reg1", 26, "same" },
	{ "actions=move:NXM_OF_IP_SRC[]->reg1", 14, "IPv4" },
	{ "actions=move:reg0->NXM_OF_ETH_TYPE[]", 20, "written" },
	{ "ip,actions=mod_nw_src:1.2.3.0/24", 23, "mask" },
	{ "actions=mod_vlan_vid:4096", 22, "4095" },
	{ "actions=mod_vlan_pcp:8", 22, "7" },
	{ "actions=push_vlan:0x1234", 19, "0x88a8" },
	{ "actions=resubmit", 17, "resubmit" },
	{ "actions=resubmit(,256)", 19, "255" },
	{ "actions=goto_table:255", 20, "254" },
	{ "actions=group:4294967041", 15, "4294967040" },
	{ "actions=group:", 15, "number" },
	{ "actions=meter:0", 15, "1" },
	{ "actions=meter:65536", 15, "65535" },
	{ "actions=meter:", 15, "number" },
	{ "actions=output:2,meter:1", 18, "before" },
	{ "actions=meter:1,meter:2", 17, "twice" },
	{ "actions=clone(meter:1)", 15, "inside" },
	{ "actions=apply_actions(meter:1)", 23, "inside" },
	{ "actions=write_actions(meter:1)", 23, "inside" },
	{ "table=3,actions=goto_table:3", 28, "forward" },
	{ "actions=goto_table:4,output:2", 22, "before" },
	{ "actions=write_metadata:5,clear_actions", 26, "before" },
	{ "actions=goto_table:4,goto_table:5", 22, "twice" },
	{ "actions=write_actions(output:1),write_actions(output:2)", 33, "twice" },
	{ "actions=write_actions(output:1,goto_table:1)", 32, "inside" },
	{ "actions=write_actions(note:01)", 23, "write_actions" },
	{ "actions=write_actions(write_actions(1))", 23, "inside" },
	{ "actions=write_actions(output:1", 22, "closed" },
	{ "mpls,actions=copy_ttl_out:3", 27, "argument" },
	{ "actions=ct", 9, "IP match" },
	{ "ip,actions=ct(force)", 15, "force works with commit only" },
	{ "ip,actions=ct(nat(src=1.2.3.4))", 15, "works with commit only" },
	{ "ip,actions=ct(exec(set_field:1->ct_mark))", 15, "exec works with commit only" },
	{ "ip,actions=ct(commit,exec(set_field:1->reg0))", 27, "ct_mark or ct_label" },
	{ "ip,actions=ct(commit,exec(output:1))", 27, "ct_mark or ct_label" },
	{ "ip,actions=ct(commit,exec(),exec())", 29, "twice" },
	{ "ip,actions=set_field:1->ct_mark", 25, "ct(commit,exec(...))" },
	{ "ip,actions=load:1->NXM_NX_CT_LABEL[3]", 20, "ct(commit,exec(...))" },
	{ "ip,actions=ct(table=255)", 21, "254" },
	{ "ip,actions=ct(zone=65536)", 20, "65535" },
	{ "ip,actions=ct(zone=reg0)", 20, "16 bits" },
	{ "ip,actions=ct(zone=nonsense)", 20, "nonsense" },
	{ "ip,actions=ct(timeout=5)", 15, "does not know 'timeout=5'" },
	{ "ip,actions=ct(commit,alg=foo)", 26, "ftp or tftp" },
	{ "ip,actions=ct(commit,alg=ftp)", 26, "needs a TCP match" },
	{ "tcp,actions=ct(commit,alg=tftp)", 27, "needs a UDP match" },
	{ "ip,actions=ct(nat,nat)", 19, "twice" },
	{ "ip,actions=ct(commit,nat(hash))", 26, "need src or dst" },
	{ "ip,actions=ct(commit,nat(src=1.2.3.4,hash,random))", 26, "exclude each other" },
	{ "ip,actions=ct(commit,nat(src=1.2.3.4,dst=1.2.3.4))", 38, "once" },
	{ "ip,actions=ct(commit,nat(to=1.2.3.4))", 26, "does not know 'to'" },
	{ "ip,actions=ct(commit,nat(src=1.2.3))", 30, "not an IP address" },
	{ "ip,actions=ct(commit,nat(src=10.0.0.5-10.0.0.1))", 30, "range" },
	{ "ip,actions=ct(commit,nat(src=10.0.0.5-fe80::1))", 30, "same kind" },
	{ "ip,actions=ct(commit,nat(src=1.2.3.4:90-80))", 41, "90 to 65535" },
	{ "ip,actions=ct(commit,nat(src=fe80::1))", 22, "matches IPv4" },
	{ "ipv6,actions=ct(commit,nat(src=1.2.3.4))", 24, "matches IPv6" },
	{ "actions=ct_clear(1)", 18, "argument" },
	{ "actions=write_actions(ct_clear)", 23, "write_actions" },
	{ "actions=resubmit(,3,ct)", 21, "ct_state=+trk-inv" },
	{ "actions=resubmit(,3,xy)", 21, "[,ct]" },
	{ "actions=conjunction", 9, "conjunction(ID,K/N)" },
	{ "actions=conjunction(1)", 9, "conjunction(ID,K/N)" },
	{ "actions=conjunction(1,2)", 23, "K/N" },
	{ "actions=conjunction(x,1/2)", 21, "ID" },
	{ "actions=conjunction(1,1/1)", 25, "2 to 64" },
	{ "actions=conjunction(1,1/65)", 25, "2 to 64" },
	{ "actions=conjunction(1,0/2)", 23, "1 to 2" },
	{ "actions=conjunction(1,3/2)", 23, "1 to 2" },
	{ "actions=conjunction(4294967296,1/2)", 21, "4294967295" },
	{ "actions=conjunction(1,1/2),output:1", 9, "output beside conjunction" },
	{ "actions=note:01,conjunction(1,1/2),goto_table:3", 9, "goto_table beside" },
	{ "actions=clone(conjunction(1,1/2))", 15, "inside other actions" },
	{ "actions=write_actions(conjunction(1,1/2))", 23, "write_actions" },
	{ "actions=note:01.2", 17, "hexadecimal" },
	{ "actions=note:zz", 14, "hexadecimal" },
	{ "actions=controller(reason=bored)", 27, "bored" },
	{ "actions=controller(max_len=70000)", 28, "65535" },
	{ "actions=exit:1", 14, "argument" },
	{ "actions=push", 9, "push:FIELD" },
	{ "actions=pop:eth_type", 13, "written" },
	{ "actions=pop:tcp_dst", 13, "TCP" },
	{ "actions=clone(goto_table:1)", 15, "inside" },
	{ "actions=clone(push_vlan:0x8100),set_field:5->vlan_vid", 46, "push_vlan" },
	{ "actions=write_actions(clone(1))", 23, "write_actions" },
	{ "actions=write_actions(push:reg0)", 23, "write_actions" },
	{ "ip,actions=dec_ttl(1,x)", 22, "number" },
	{ "actions=enqueue:1", 9, "PORT:QUEUE" },
	{ "actions=enqueue:flood:1", 17, "in_port" },
	{ "actions=enqueue:1:4294967295", 19, "4294967294" },
	{ "actions=set_queue:x", 19, "number" },
	{ "actions=check_pkt_larger(1500)", 9, "LENGTH" },
	{ "actions=check_pkt_larger:1500->reg0[0]", 9, "LENGTH" },
	{ "actions=check_pkt_larger(1500)->reg0[0..1]", 33, "1 bit" },
	{ "actions=delete_field:reg0", 22, "tun_metadata63" },
	{ "actions=delete_field:tun_metadata64", 22, "63" },
	{ "actions=push:tun_metadata64", 14, "no field" },
	{ "actions=encap(foo)", 15, "ethernet, nsh" },
	{ "actions=encap(nsh(md_type=3))", 27, "1 to 2" },
	{ "actions=encap(nsh(tlv(1,2,0x11)))", 18, "md_type=2" },
	{ "actions=encap(nsh(md_type=2,tlv(1,2,0x1)))", 32, "pairs" },
	{ "actions=decap(packet_type(ns=2,type=1))", 30, "0 to 1" },
	{ "actions=decap(foo)", 15, "packet_type" },
	{ "ip,actions=decap(),set_field:00:00:00:00:00:01->eth_src", 49, "Ethernet" },
	{ "packet_type=(1,0x800),ipv6,actions=drop", 1, "no such" },
	{ "ip,actions=dec_nsh_ttl", 12, "dl_type=0x894f" },
	{ "ip,nsh_spi=3,actions=drop", 4, "NSH" },
	{ "tun_metadata0=0x123456789,actions=drop", 15, "4294967295" },
	{ "tcp,actions=fin_timeout(idle_timeout=70000)", 38, "65535" },
	{ "tcp,actions=fin_timeout(idle=1)", 25, "idle_timeout" },
	{ "actions=sample(collector_set_id=1)", 9, "probability" },
	{ "actions=sample(probability=0)", 28, "65535" },
	{ "actions=sample(probability=1,egress=2)", 30, "egress" },
	{ "actions=multipath(eth_src,50,modulo_n,2,0)", 42, "field" },
	{ "actions=multipath(eth_dst,50,modulo_n,2,0,reg0)", 19, "eth_src" },
	{ "actions=multipath(eth_src,50,active_backup,2,0,reg0)", 30, "modulo_n" },
	{ "actions=multipath(eth_src,50,modulo_n,5,0,reg0[0..1])", 43, "2 bits" },
	{ "actions=bundle(eth_src,0,modulo_n,ofport,members:1)", 26, "hrw" },
	{ "actions=bundle(eth_src,0,hrw,ofport,1,2)", 37, "members:" },
	{ "actions=bundle(eth_src,0,hrw,ofport,members:flood)", 45, "port" },
	{ "actions=bundle_load(eth_src,0,hrw,ofport,reg0[0..7],members:1)", 42, "16 bits" },
	{ "actions=push_mpls:0x0800", 19, "0x8848" },
	{ "tcp,actions=push_mpls:0x8847,pop_mpls:0x0800,set_field:1->tcp_dst", 59, "TCP" },
	{ "mpls,actions=set_mpls_tc:8", 26, "7" },
	{ "actions=controller(meter_id=0)", 29, "meter_id" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		struct error error;
		char *got = canonical(mistakes[i].line, NULL, &error);

		if (got)
			fail_msg("%s was accepted as %s", mistakes[i].line, got);
		if (error.column != mistakes[i].column || !strstr(error.message, mistakes[i].says))
			fail_msg("%s\n  column %d (wanted %d): %s (wanted: %s)", mistakes[i].line,
				 error.column, mistakes[i].column, error.message, mistakes[i].says);
		assert_null(canonical(mistakes[i].line, NULL, NULL));
	}
}

static void test_usages(void **state)
{
	struct flow_text flow;
	struct error error;

	(void)state;
	assert_int_equal(
		flow_text_parse("cookie=5,idle_timeout=6,hard_timeout=7,importance=8,"
				"send_flow_rem,check_overlap,reset_counts,no_packet_counts,"
				"no_byte_counts,table=9,priority=10,actions=drop",
				FLOW_TEXT_ADD, NULL, &flow, &error),
		0);
	assert_int_equal(flow.cookie, 5);
	assert_int_equal(flow.idle_timeout, 6);
	assert_int_equal(flow.hard_timeout, 7);
	assert_int_equal(flow.importance, 8);
	assert_int_equal(flow.flags, 0x1f);
	assert_int_equal(flow.table_id, 9);
	assert_int_equal(flow.priority, 10);
	assert_true(flow.has_cookie && flow.has_table && flow.has_priority);
	flow_text_release(&flow);

	assert_int_equal(flow_text_parse("cookie=1/-1,cookie=2,actions=normal", FLOW_TEXT_MOD, NULL,
					 &flow, &error),
			 0);
	assert_int_equal(flow.cookie, 1);
	assert_true(flow.cookie_mask == UINT64_MAX && flow.has_cookie && flow.has_new_cookie);
	assert_int_equal(flow.new_cookie, 2);
	flow_text_release(&flow);

	assert_int_equal(flow_text_parse("cookie=4/0xff,out_port=2,ip", FLOW_TEXT_DELETE, NULL,
					 &flow, &error),
			 0);
	assert_int_equal(flow.cookie_mask, 0xff);
	assert_int_equal(flow.out_port, 2);
	assert_int_equal(flow.table_id, 255);
	assert_false(flow.has_table);
	assert_null(flow.program);
	assert_int_equal(flow_text_parse("", FLOW_TEXT_DUMP, NULL, &flow, &error), 0);
	assert_true(flow.cookie_mask == 0 && flow.out_port == OFPP_ANY);
	assert_int_not_equal(
		flow_text_parse("ip,actions=drop", FLOW_TEXT_DELETE, NULL, &flow, &error), 0);
	assert_int_equal(error.column, 12);

	assert_int_equal(flow_text_parse("in_port=1,tcp,nw_dst=1.2.3.4,tp_dst=80", FLOW_TEXT_MATCH,
					 NULL, &flow, &error),
			 0);
	assert_int_not_equal(
		flow_text_parse("ip,nw_dst=1.0.0.0/8", FLOW_TEXT_MATCH, NULL, &flow, &error), 0);
	assert_int_equal(error.column, 11);
	assert_int_not_equal(flow_text_parse("priority=1", FLOW_TEXT_MATCH, NULL, &flow, &error),
			     0);
}

static struct program *parse_program(const char *string)
{
	struct program *program;
	struct error error;

	if (program_parse(string, NULL, &program, &error))
		fail_msg("%s: %s", string, error.message);
	return program;
}

static const struct op *first_op(const struct program *program)
{
	return (const struct op *)program->ops;
}

// Apply a SET to a key, as the workers do.
static void apply_set(const struct op *op, struct key *key)
{
	const struct op_set *set = (const struct op_set *)op;

	assert_int_equal(op->code, OP_SET);
	for (unsigned int i = 0; i < set->n_words; i++) {
		const struct op_word *word = &set->words[i];

		assert_int_equal(word->line, word->word / KEY_LINE_WORDS);
		key->words[word->word] = (key->words[word->word] & ~word->mask) | word->value;
	}
}

// For every field that can be written: set_field and load change its bits, and no others.
static void test_set_every_field(void **state)
{
	unsigned int n = 0;

	(void)state;
	for (unsigned int id = 0; id < N_FIELDS; id++) {
		const struct field *field = &fields[id];
		struct text text = { 0 };
		struct program *program;
		struct field_value got;
		struct key key = { 0 };
		struct key rest;

		if (!field->writable)
			continue;
		if (id == FIELD_CT_MARK || id == FIELD_CT_LABEL)
			continue; // in exec(...) only
		text_addf(&text, "load:%d->%s[0]", field->format == FORMAT_TOS ? 0 : 1,
			  field->nxm ? field->nxm : field->name);
		program = parse_program(text.data);
		apply_set(first_op(program), &key);
		field_get(field, &key, &got);
		assert_int_equal(field_value_to_u64(&got), field->format != FORMAT_TOS);
		assert_int_equal(program->dirty, field->dirty);
		assert_true(program->lines_written & 1 << field->offset / KEY_LINE_SIZE);
		program_free(program);

		text_clear(&text);
		text_add(&text, "set_field:");
		memset(&key, 0xff, sizeof(key));
		memset(&got, 0, sizeof(got));
		if (field->format == FORMAT_TUN_FLAGS)
			text_add(&text, "0");
		else
			field_format_value(field, &got, NULL, NULL, &text);
		text_addf(&text, "->%s", field->name);
		program = parse_program(text.data);
		apply_set(first_op(program), &key);
		field_get(field, &key, &got);
		if (field->format == FORMAT_VLAN_VID)
			assert_int_equal(field_value_to_u64(&got), KEY_VLAN_PRESENT);
		else if (field->format == FORMAT_TOS)
			assert_int_equal(field_value_to_u64(&got), 3);
		else
			assert_true(field_value_is_zero(&got));
		memset(&rest, 0xff, sizeof(rest));
		field_set(field, &got, &rest);
		assert_memory_equal(&rest, &key, sizeof(key));
		program_free(program);
		text_free(&text);
		n++;
	}
	assert_true(n > 100);
}

static void test_programs(void **state)
{
	struct program *program;
	struct key key = { 0 };
	unsigned int n = 0;

	(void)state;
	program = parse_program("output:1,write_actions(output:7,set_field:1->reg20),goto_table:9");
	program_for_each_op (op, program) {
		assert_int_equal(op->size % 8, 0);
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(program->n_ops, 3);
	assert_int_equal(program->flags, PROGRAM_WRITES_ACTION_SET);
	assert_int_equal(program->lines_written, 1 << KEY_LINE_REGISTERS2);
	assert_true(program_outputs_to(program, 1));
	assert_true(program_outputs_to(program, 7));
	assert_false(program_outputs_to(program, 9));
	program_free(program);

	program = parse_program("controller");
	assert_true(program_outputs_to(program, OFPP_CONTROLLER));
	program_free(program);

	// The 16-bit name of the port reaches all 32 bits.
	program = parse_program("load:0xfffe->NXM_OF_IN_PORT[]");
	apply_set(first_op(program), &key);
	assert_int_equal(rte_be_to_cpu_32(key.core.in_port), OFPP_LOCAL);
	program_free(program);

	program = parse_program("move:reg0[0..15]->vlan_tci");
	assert_int_equal(program->lines_read, 1 << KEY_LINE_REGISTERS);
	assert_int_equal(program->lines_written, 1 << KEY_LINE_CORE | KEY_LINES_HEADERS);
	assert_int_equal(program->flags, PROGRAM_CHANGES_TAGS);
	assert_int_equal(program->dirty, DIRTY_VLAN);
	program_free(program);
	program_free(NULL);
}

// Every op is reached by the flows above.
static void test_every_op(void **state)
{
	bool seen[N_OPS] = { false };

	(void)state;
	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		struct program *program =
			parse_program(strstr(flows[i][0], "action") +
				      strcspn(strstr(flows[i][0], "action"), "=") + 1);

		program_for_each_op (op, program)
			seen[op->code] = true;
		program_free(program);
	}
	for (unsigned int i = 0; i < N_OPS; i++)
		if (!seen[i])
			fail_msg("no flow with op %u", i);
}

static void test_too_large(void **state)
{
	struct text text = { 0 };
	struct flow_text flow;
	struct error error;

	(void)state;
	text_add(&text, "actions=");
	for (int i = 0; i < 200000; i++)
		text_add(&text, "1,");
	assert_int_equal(flow_text_parse(text.data, FLOW_TEXT_ADD, NULL, &flow, &error), -E2BIG);
	text_clear(&text);
	for (int i = 0; i < 200000; i++)
		text_add(&text, "reg0=1,");
	text_add(&text, "actions=drop");
	assert_int_not_equal(flow_text_parse(text.data, FLOW_TEXT_ADD, NULL, &flow, &error), 0);
	text_clear(&text);
	text_add(&text, "actions=");
	for (int i = 0; i < 100000; i++)
		text_add(&text, "write_actions(");
	assert_int_not_equal(flow_text_parse(text.data, FLOW_TEXT_ADD, NULL, &flow, &error), 0);
	text_free(&text);
}

static void set_number(struct match *match, enum field_id id, uint64_t number)
{
	struct field_value value = field_value_from_u64(number);

	match_set(match, &fields[id], &value);
}

// Conditions that no text can say: bits that are one value together, or that other rows say.
static bool is_unsayable(const struct field *field)
{
	return field->format == FORMAT_TOS || field->format == FORMAT_DL_VLAN ||
	       field->format == FORMAT_DL_VLAN_PCP || field->id == FIELD_PACKET_TYPE ||
	       field->id == FIELD_ETH_TYPE || field->id == FIELD_IP_PROTO ||
	       field->id == FIELD_CT_STATE || field->id == FIELD_ICMPV6_TYPE ||
	       field->format == FORMAT_FRAG;
}

static void random_match(struct match *match)
{
	static const uint16_t types[] = { 0, 0x0800, 0x86dd, 0x0806, 0x8847, 0x894f, 0x1234 };
	static const uint8_t protocols[] = { 0, 1, 6, 17, 58, 132, 47 };
	uint16_t type = types[rand() % 7];
	uint8_t protocol = protocols[rand() % 7];

	match_init(match);
	if (type)
		set_number(match, FIELD_ETH_TYPE, type);
	if ((type == 0x0800 || type == 0x86dd) && protocol)
		set_number(match, FIELD_IP_PROTO, protocol);
	if (type == 0x86dd && protocol == 58 && rand() % 2)
		set_number(match, FIELD_ICMPV6_TYPE, 134 + (unsigned int)rand() % 3);
	if (rand() % 2)
		set_number(match, FIELD_CT_STATE, 0x22);
	for (unsigned int n = (unsigned int)rand() % 40; n; n--) {
		const struct field *field = &fields[rand() % N_FIELDS];
		struct field_value value;
		struct field_value mask = field_all_ones(field);

		if (is_unsayable(field) || !match_has_prerequisite(match, field))
			continue;
		for (size_t i = 0; i < FIELD_VALUE_SIZE; i++)
			value.bytes[i] = (uint8_t)(rand() >> 8);
		if (field->format == FORMAT_PORT || field->format == FORMAT_PORT16)
			value = field_value_from_u64((unsigned int)rand() % 0xff00);
		for (size_t i = 0; field->maskable == FIELD_MASK_ANY && i < FIELD_VALUE_SIZE; i++)
			mask.bytes[i] &= (uint8_t)(rand() >> 8);
		match_set_masked(match, field, &value, &mask);
	}
}

static void test_random_matches(void **state)
{
	(void)state;
	srand(7);
	for (int n = 0; n < 5000; n++) {
		struct match match;
		struct text text = { 0 };
		struct flow_text flow;
		struct error error;

		random_match(&match);
		match_format(&match, NULL, &text);
		if (flow_text_parse(text.data, FLOW_TEXT_DELETE, NULL, &flow, &error))
			fail_msg("%s: column %d: %s", text.data, error.column, error.message);
		if (!match_equal(&flow.match, &match)) {
			struct text again = { 0 };

			match_format(&flow.match, NULL, &again);
			fail_msg("%s\n  became %s", text.data, again.data);
		}
		flow_text_release(&flow);
		text_free(&text);
	}
}

static char *format(const struct match *match)
{
	struct text text = { 0 };

	match_format(match, NULL, &text);
	return text_steal(&text);
}

// A match that is like the one printed before is printed in a shorter way: it must come out as it
// does behind another one.
static void test_like_the_one_before(void **state)
{
	struct match nothing;
	unsigned int n_alike = 0;

	match_init(&nothing);
	(void)state;
	srand(11);
	for (int n = 0; n < 5000; n++) {
		struct match first, second;
		char *fresh, *alike;

		random_match(&first);
		second = first;
		for (unsigned int w = 0; w < KEY_WORDS; w++)
			if (rand() % 2)
				second.value.words[w] =
					((uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^
					 (uint64_t)rand()) &
					second.mask.words[w];
		free(format(&nothing));
		fresh = format(&second);
		free(format(&first));
		alike = format(&second);
		assert_string_equal(alike, fresh);
		n_alike += !match_equal(&first, &second);
		free(fresh);
		free(alike);
	}
	assert_true(n_alike > 1000);
}

// What was read before must make no difference: words and actions are remembered.
static void test_remembered(void **state)
{
	static const char *const texts[][2] = {
		{ "ip,nw_src=10.0.0.1,actions=output:7", "ip,nw_src=10.0.0.1 actions=output:7" },
		{ "arp,nw_src=10.0.0.1,actions=output:7", "arp,arp_spa=10.0.0.1 actions=output:7" },
		{ "nw_src=10.0.0.1,arp,actions=drop", "arp,arp_spa=10.0.0.1 actions=drop" },
		{ "NW_SRC=10.0.0.1,ip,actions=drop", NULL },
		{ "ip,nw_src=10.0.0.1,actions=drop,output:1", NULL },
		{ "IP,nw_src=10.0.0.1,actions=output:1,output:2",
		  "ip,nw_src=10.0.0.1 actions=output:1,output:2" },
		{ "actions=output:1,output:2", "actions=output:1,output:2" },
		{ "actions=output:vm1", "actions=output:vm1" },
		{ "actions=output:65280", NULL },
		{ "tcp,tp_src=65536,actions=output:7", NULL },
		{ "udp,tp_src=0x10,actions=output:7", "udp,tp_src=16 actions=output:7" },
		{ "tp_src=16,sctp,actions=output:7", "sctp,tp_src=16 actions=output:7" },
		{ "icmp6,icmp_type=135,actions=output:7", "icmp6,icmp_type=135 actions=output:7" },
	};
	const size_t n_texts = sizeof(texts) / sizeof(texts[0]);

	(void)state;
	srand(12);
	for (int n = 0; n < 20000; n++) {
		const char *const *text = texts[(size_t)rand() % n_texts];
		struct error error;
		char *got = canonical(text[0], &ports, &error);

		if (!text[1] != !got || (got && strcmp(got, text[1]) != 0))
			fail_msg("%s\n  gave   %s\n  wanted %s", text[0], got ? got : error.message,
				 text[1] ? text[1] : "a mistake");
		free(got);
	}
}

// Change a flow here and there; whatever is accepted must survive printing and reading.
static void mutate(char *line, size_t size)
{
	static const char bytes[] = ",=()[]/:->\"\\. 0123456789abcdefxXnwtp+|*\t\x80\x01";

	for (unsigned int n = 1 + (unsigned int)rand() % 2; n; n--) {
		size_t length = strlen(line);
		size_t at = (size_t)rand() % (length + 1);
		const char *other = flows[(size_t)rand() % (sizeof(flows) / sizeof(flows[0]))][0];
		size_t piece;

		switch (rand() % 4) {
		case 0:
			if (at < length)
				line[at] = bytes[(size_t)rand() % (sizeof(bytes) - 1)];
			break;
		case 1:
			if (at < length)
				memmove(line + at, line + at + 1, length - at);
			break;
		case 2:
			if (length + 2 < size) {
				memmove(line + at + 1, line + at, length - at + 1);
				line[at] = bytes[(size_t)rand() % (sizeof(bytes) - 1)];
			}
			break;
		default:
			piece = strcspn(other, ",");
			if (length + piece + 2 < size) {
				memmove(line + at + piece, line + at, length - at + 1);
				memcpy(line + at, other, piece);
			}
		}
	}
}

static void test_garbage(void **state)
{
	unsigned int n_accepted = 0;

	(void)state;
	srand(8);
	for (int n = 0; n < 50000; n++) {
		size_t i = (size_t)rand() % (sizeof(flows) / sizeof(flows[0]));
		char line[512];
		struct error error;
		char *got;
		char *again;

		snprintf(line, sizeof(line), "%s", flows[i][rand() % 2]);
		mutate(line, sizeof(line));
		for (int usage = FLOW_TEXT_MOD; usage <= FLOW_TEXT_MATCH; usage++) {
			struct flow_text flow;

			if (n % 8 == 0 && !flow_text_parse(line, (enum flow_text_usage)usage,
							   &ports, &flow, &error))
				flow_text_release(&flow);
		}
		got = canonical(line, &ports, &error);
		if (!got) {
			assert_true(error.message[0] && error.column > 0);
			assert_true((size_t)error.column <= strlen(line) + 1);
			continue;
		}
		n_accepted++;
		again = canonical(got, &ports, &error);
		if (!again)
			fail_msg("%s\n became %s\n column %d: %s", line, got, error.column,
				 error.message);
		assert_string_equal(again, got);
		free(again);
		free(got);
	}
	assert_true(n_accepted > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flows),          cmocka_unit_test(test_port_names),
		cmocka_unit_test(test_mistakes),       cmocka_unit_test(test_usages),
		cmocka_unit_test(test_programs),       cmocka_unit_test(test_set_every_field),
		cmocka_unit_test(test_every_op),       cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_random_matches), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_remembered),     cmocka_unit_test(test_like_the_one_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
