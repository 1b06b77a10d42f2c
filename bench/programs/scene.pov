// SPDX-License-Identifier: MIT
// bench/vs-qemu's scene: reflection, refraction, shadows of an area light, procedural textures. No include files.
#version 3.7;
global_settings { assumed_gamma 1.0 max_trace_level 6 }
camera { location <0, 3.2, -9> look_at <0, 0.9, 0> angle 48 right x*4/3 }
light_source { <6, 10, -7> color rgb 1.1 area_light <1.5, 0, 0>, <0, 0, 1.5>, 3, 3 adaptive 1 }
light_source { <-8, 6, -4> color rgb <0.3, 0.35, 0.5> shadowless }
sky_sphere { pigment { gradient y color_map { [0 color rgb <0.9, 0.8, 0.7>] [1 color rgb <0.2, 0.4, 0.8>] } } }
plane { y, 0 pigment { checker color rgb <0.85, 0.85, 0.8>, color rgb <0.2, 0.3, 0.35> } finish { reflection 0.15 } }
#declare Mirror = texture { pigment { color rgb 0.1 } finish { reflection 0.75 specular 0.6 roughness 0.01 } }
#declare Stone = texture {
  pigment { marble turbulence 0.7 color_map { [0 color rgb <0.9, 0.85, 0.8>] [0.6 color rgb <0.6, 0.4, 0.35>] [1 color rgb 0.2] } }
  normal { bumps 0.3 scale 0.1 }
  finish { phong 0.4 }
}
#declare I = 0;
#while (I < 9)
  #declare A = I * 2 * pi / 9;
  sphere { <3 * cos(A), 0.55, 3 * sin(A)>, 0.55
    #if (mod(I, 3) = 0) texture { Mirror } #end
    #if (mod(I, 3) = 1) texture { Stone } #end
    #if (mod(I, 3) = 2) pigment { color rgbf <0.9, 1, 0.95, 0.85> } interior { ior 1.45 } finish { specular 0.7 } #end
  }
  #declare I = I + 1;
#end
difference {
  box { <-1, 0, -1>, <1, 2, 1> }
  sphere { <0, 1, 0>, 1.22 }
  cylinder { <0, -1, 0>, <0, 3, 0>, 0.5 }
  texture { Stone }
  rotate 30*y
}
torus { 1.2, 0.18 texture { Mirror } rotate 20*x translate <0, 2.4, 0> }
blob { threshold 0.6
  sphere { <0, 0.8, 0>, 0.9, 1 } sphere { <0.4, 1.2, 0.2>, 0.7, 1 } sphere { <-0.3, 1.3, -0.2>, 0.7, 1 }
  pigment { color rgb <0.9, 0.5, 0.1> } finish { specular 0.5 }
}
