// SPDX-License-Identifier: MIT
// bench/vs-qemu's Verilog design: an accumulator machine with a RAM, which sorts and sums, and a CRC beside it.
`timescale 1ns / 1ns
module crc32(input clk, input reset, input [7:0] data, input valid, output reg [31:0] crc);
	integer i;
	reg [31:0] next;
	always @(posedge clk)
		if (reset)
			crc <= 32'hffffffff;
		else if (valid) begin
			next = crc ^ {24'b0, data};
			for (i = 0; i < 8; i = i + 1)
				next = next[0] ? (next >> 1) ^ 32'hedb88320 : next >> 1;
			crc <= next;
		end
endmodule

module cpu(input clk, input reset, output reg halted, output reg [15:0] out, output reg out_valid);
	localparam LOAD = 0, STORE = 1, ADD = 2, SUB = 3, LOADI = 4, JUMP = 5, JNEG = 6, JZ = 7, OUT = 8, HALT = 9,
		   LOADX = 10, STOREX = 11, SETX = 12, INCX = 13, XOR = 14, SHR = 15;
	reg [15:0] ram[0:1023];
	reg [19:0] rom[0:63];
	reg [15:0] acc, x;
	reg [9:0] pc;
	reg state;
	reg [19:0] ir;
	wire [3:0] op = ir[19:16];
	wire [15:0] arg = ir[15:0];
	wire [9:0] at = (op == LOADX || op == STOREX) ? arg[9:0] + x[9:0] : arg[9:0];

	always @(posedge clk)
		if (reset) begin
			pc <= 0; acc <= 0; x <= 0; state <= 0; halted <= 0; out <= 0; out_valid <= 0;
		end else if (!halted) begin
			out_valid <= 0;
			state <= ~state;
			if (!state) begin
				ir <= rom[pc[5:0]];
				pc <= pc + 1;
			end else
				case (op)
				LOAD, LOADX: acc <= ram[at];
				STORE, STOREX: ram[at] <= acc;
				ADD: acc <= acc + ram[at];
				SUB: acc <= acc - ram[at];
				LOADI: acc <= arg;
				JUMP: pc <= arg[9:0];
				JNEG: if (acc[15]) pc <= arg[9:0];
				JZ: if (acc == 0) pc <= arg[9:0];
				OUT: begin out <= acc; out_valid <= 1; end
				HALT: halted <= 1;
				SETX: x <= ram[at];
				INCX: x <= x + arg;
				XOR: acc <= acc ^ ram[at];
				SHR: acc <= acc >> 1;
				endcase
		end
endmodule

module test;
	reg clk = 0, reset = 1;
	wire halted, out_valid;
	wire [15:0] out;
	wire [31:0] crc;
	integer i, seed, cycles;

	cpu c(.clk(clk), .reset(reset), .halted(halted), .out(out), .out_valid(out_valid));
	crc32 k(.clk(clk), .reset(reset), .data(out[7:0] ^ out[15:8]), .valid(out_valid), .crc(crc));

	always #5 clk = ~clk;

	initial begin
		// 64 numbers at 100; a bubble sort of them; 10: outer count, 11: inner index, 12 and 13: two neighbours
		seed = 4711;
		for (i = 0; i < 1024; i = i + 1) c.ram[i] = 0;
		for (i = 0; i < 64; i = i + 1) begin
			seed = (seed * 1103515245 + 12345) & 32'h7fffffff;
			c.ram[100 + i] = (seed >> 12) & 16'h3fff;
		end
		c.ram[1] = 1; c.ram[2] = 63; c.ram[3] = 64;
		c.rom[0] = {4'd0, 16'd3};   c.rom[1] = {4'd1, 16'd10};              // outer = 64
		c.rom[2] = {4'd4, 16'd0};   c.rom[3] = {4'd1, 16'd11};              // inner = 0
		c.rom[4] = {4'd12, 16'd11}; c.rom[5] = {4'd10, 16'd100};            // x = inner; acc = a[x]
		c.rom[6] = {4'd1, 16'd12};  c.rom[7] = {4'd10, 16'd101};            // 12 = a[x]; acc = a[x + 1]
		c.rom[8] = {4'd1, 16'd13};  c.rom[9] = {4'd3, 16'd12};              // 13 = a[x + 1]; acc -= 12
		c.rom[10] = {4'd6, 16'd12}; c.rom[11] = {4'd5, 16'd16};             // negative: swap
		c.rom[12] = {4'd0, 16'd13}; c.rom[13] = {4'd11, 16'd100};
		c.rom[14] = {4'd0, 16'd12}; c.rom[15] = {4'd11, 16'd101};
		c.rom[16] = {4'd0, 16'd11}; c.rom[17] = {4'd2, 16'd1};              // inner = inner + 1
		c.rom[18] = {4'd1, 16'd11}; c.rom[19] = {4'd3, 16'd2};              // inner - 63
		c.rom[20] = {4'd6, 16'd4};                                          // negative: again
		c.rom[21] = {4'd0, 16'd10}; c.rom[22] = {4'd3, 16'd1};              // outer = outer - 1
		c.rom[23] = {4'd1, 16'd10}; c.rom[24] = {4'd7, 16'd26}; c.rom[25] = {4'd5, 16'd2};
		c.rom[26] = {4'd4, 16'd0};  c.rom[27] = {4'd1, 16'd11};             // show them, with a running checksum
		c.rom[28] = {4'd12, 16'd11}; c.rom[29] = {4'd10, 16'd100}; c.rom[30] = {4'd8, 16'd0};
		c.rom[31] = {4'd14, 16'd20}; c.rom[32] = {4'd15, 16'd0}; c.rom[33] = {4'd1, 16'd20};
		c.rom[34] = {4'd0, 16'd11}; c.rom[35] = {4'd2, 16'd1}; c.rom[36] = {4'd1, 16'd11};
		c.rom[37] = {4'd3, 16'd3};  c.rom[38] = {4'd6, 16'd28}; c.rom[39] = {4'd9, 16'd0};
		#12 reset = 0;
	end

	initial cycles = 0;
	always @(posedge clk) begin
		cycles = cycles + 1;
		if (out_valid) $display("%0d", out);
		if (halted) begin
			$display("cycles %0d, checksum %h, crc %h", cycles, c.ram[20], crc);
			$finish(0);
		end
	end
endmodule
