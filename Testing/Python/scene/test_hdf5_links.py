"""HDF5 transforms: those of ITK are read, those of which a part lies in another file are refused."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.scene.files.hdf5_links import check_hdf5_links
from LightRegistrationLib.scene.files.transform_loading import load_transform_node
from LightRegistrationLib.scene.nodes.transforms import transform_points

# Written by h5py, which is not in the environment; compressed by zlib.
LEADING_OUTSIDE = {
    "link": (
        "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfCNQJ&Ve$!3nh{EOK<O1sFmV>JoCH){0BXJh)Vu<ycu0_|E3*0M_Kbp&4Ln>O13+{Hl+OXB"
        "PcWgXgQdd&D%r~fPr2ArCKu2pj7aL)7%U*};BepzDN4*MPRlRKbuY><Es$kk(9_e;FUd$P(#tSq&_|Vp=?4Jc5J+P"
    ),
    "deep link": (
        "c-rgqaB<`1lHy|K;9!7(|4^`#5yCfsic4;co$K%662!z%!6byN5C*uI7=T*XBpHAdUr146UU6D}QLcMYerdsGnBmq8lz??{Yb}Uz"
        "0uRUuj0R><A24_@Pz_YGS;Y|J1Wlk5I2?rG!4QyGl$e`Zl3G+Oz`&rVr=MSvky@meValLi!N8zRk`ux$`TPK-6j{j"
    ),
    "link among many": (
        "c-rgqaB<`1lHy|K;9!7(|4^_{6v8)vieLC8d)nW_C5VZkf{TfPk%56p2qb)i6(XI*22~fqKr<kB;+8Db2@uQwqXCG+Xz7HbJ5Q_`"
        "b;76<29Xoof`eTdCP1?vqbCEyc95lhN{*G-bPNIqlcr<T!DJ+fAddhBb|8m|L4X0HWcP&fVQB`a3YCTec_M9OLDI<xCKZ76LSdNL"
        "lle`{oI*TY7+68-xPc-m8jsjucED^=O;nlf77SFy;E7@uf=1XEz)%6S1158n86qylfJ*x%OZGU0__#5!=80TqU;x!;JPh-`)Cn_u"
        "1u}UVPA<JG!Vm}+)mKlGVVDILefD2eg~1gps-=;y$*>$Oy5n4zCPND&i21$ARF9z)tUyhv#h$?oELuFr!I_~EEc)>Gd>@7^uxQ;M"
        "ju-|eF!Rq+sThU;FjM}3cMgLln7NXJBbQ+d*b1-YnZ*qJV9`sRI~y1df<<c<PMXD_2sYR7^R@X5x51*Zf9`K)cmZZ=1U77C&;=_9"
        "yTG`eAr@=`W32y921~H$x&F!f7$yQm)fkrZFF(QH3|0`cb^2L`Ua$#z4952u%E6*~=Xf77#DcY1rA>Xva1N}X;*;_h1{tt|@HwZx"
        "Gh~7loUdrv%rMx&XcaN)gi$AqI$_iaqfQug!l)BQoiOTzq13ncaB+eUv4McquH`k142%Yw;e8`ULo-G=+h`|(ZEV8?XPfLtuuYwq"
        ";cT<d2)6kW7C74?loigle8d4`GZ`ABaw0f}FOWD!*<1*Y@jE1rNg+3aWBLV&V^+?C;F$kH;#k!3A~==|d~lADK{FD^kc}U~G3rF("
        "81o1qI41o_98)1d1jlSD631LZ2*I(Kjl{8(gZ5?_IUJbtOG{)K81(e?^Gh;Pi}W%~8T3Pn67!1F@{4lai}FhgsFwx+Z)_Yr"
    ),
    "voxels": (
        "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfHn5`dVe$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHtU1`CAdU>F4>5qP*d27u@Y"
        "C?A$ePcWgXt3XSS9u(Tk$iN0MixI|$q+~`$hyV{%9gJoM%7bJC73`sD)q%l;o5AEiGen*hC<>BiVqyXtz|Non<}*U`iUE#v4$Eg8"
        "Q2Ut~VL2oLO=SdK;z0r}oC8=;)#>T!=a*!p7U>lwmV@}ge*P{X|H1sFz&x6!$pHYi(LGi"
    ),
    "voxels, new": (
        "c-rgqaB<`1lHy|K;9!7(|4{Iq5yCfsiZ9I(_4W5~31VWXU=l)B2m@S93_vYxJPbgJv0^jKJP!t{fy|#WHDD(IEnpO3U|?coWaNR$"
        "!Dwa?21Y>zdj^Py92iWv8BG2&Gcd3MUB}GDt^w4^0Cpk6ey9gI&}>P7(i}ivGBd(_2NPvzVHgy^qU6a@4_C(k5L*H&2K5lbeMVHZ"
        "dV2c#B^jwjdPRxlAU*&9I5-&"
    ),
    "virtual": (
        "c-rgqaB<`1lHy|K;9!7(|4_gn0pS}!#T`34+5J6Sf|wX8n1qlO!T=W&10w?i8xI4JVyxH<GtYy8Y9RBcObyrxijjMHvym|aBclid"
        "0}~@7BM($9jAj;LU=&oaXMlLnfx(2E!Q?+P0|P72wanZcd<+aM%uq>?^BEYnFbqjhQS|l#!zdU9qhJ(_f>A&WaCi3i0atngNEILu"
        "Siuy)1oHJVOc^Q|n304)fC*H=g2b2@p~@M76|a}~TzOP`7VwXT^(YtxqhJ(_f>AIEM!_f;1*2dTjDk@xPyhhM5;Ic"
    ),
}
SOUND = {
    "old": (
        "c-rlnJ8%+F6oz+~5LeV0;**J^;v1jg-k5}RI1?Ny%|r`IDnn;xv`9%AJIa)ll$4Z|lqpkErlh2cf%_k4&yG2cMJ6ser{JG^`8mse"
        "oO|}c{;Y0%xRzPWc#{Z2Z_dkl(Ktp7N_<T3*P%Xi584T6-k-jg!~6pB$9-S6DwT=*I2N>>VcIGGb{ZEYs+ISf6RlyKhYkYn+lGGs"
        "_Vvd^m$sKov_4D!xZTt0x0-U}Mmk!*^QYEtDdg*=_Q+|I>ifCVHtpA2r#*}}-|_wKE@ECwBT@BRM<I@>E?%DPc0YgowBdV!7t*>("
        "@qQhz<7}+&)AGt)@ZZn((vF!=V@JgI-2^a3G&{9sPry6&<>_nsWHgx%f?)c=5P4F5^YWibxBg2WuCC^O*Hz(??5DbFF33LW@8Lb!"
        "M}0JRe^%<tMWFLKKLhg`8X6iJ=Y3wepQ!W7v**!O9*oC8c`zPB<-vH2l?UUI%_xs3kAm`GJj#jUk+g94o#wp)#@(B;zX<K$l6~~Q"
        "z`<?VSB4Jn$i6Cc^p_i_bpL*Qch=THP5T1lv7<Z~k3HqVc(j!V<Iz(djK@Kuc+met4U7v9Wd9Bwhx4*;myWLwWnUB8eysP0<hnZ2"
        "b;fvjSCmJTM^1S#9>qlQpgv5`+jXDFe%g!vQ`xsq*Gtc2Uz_^>3+=;lT~!lRSMlp>1GUg)C>~q$R-miUwb*s{I^{t^gM<bN4H6n8"
        "G)QQW&>*2fLW6`B`7H8T<g>_Uk<TKZMLvss7WwQt{q8OriLbZ1_I1W%S9vfVtwbK@=-alg%l-}>$6m?4F8N=}K6*~K_ePI%a$R+F"
        "oiQGL<-vFyDi6kEl)ye5dVP$uMcF@q=8fz-pz}>D`wpSyW!X2R{=Xvoj;Q~y%Dxfx|25f1x3}6i&bzL{tGdpjJo3te@hByV$1mvO"
        "#3l"
    ),
    "new": (
        "c-rlndq`7J9LIlm54$Zb%UNd2d}XstH|ORSQKD;HGIFI<l!G9%cZ=+?pv=TSHZyu5mW3H*CjBGWL!r{5$RZ^oGO{d*9)Cnd4=NMv"
        "cy@PB4~pmz(P_W^aem+LJ?GrB&+c}AJDW$a+JaQ!Dml-CFZ#q#Bzm<@^mli--(?Bb*)nj+hJD%57b+QW00Du38g5C0I4oc=(mbaq"
        "aOSU5K+=*VJ(%D(Bd@o-Ph5icWZs3uhIkKOA0YOd2Y)PjvNm<&C7|cXsnH5Jj+2YWq&5(^U<B05G!2w!t#TEQ)+*;j6T*BGHo`v}"
        "yRA<*(y$0)h{g8W%4!-GI)+%BaIemwVIeTYLbIUiE)9!?46)#vJk2yLTnw@3Gj_Gvva_ebY4PU8Inf6yx}`yAX=l>!%$S}dSV0Lg"
        "fI<DYN-eMU`Vr{ijq-|PXMXU?h^@@;`+Wv{fB3^6{_w}ogQgnW#ZWb7tg3iS!{RtYEbcg7me8<hVTi?x+efz8W(#&0fQyV^_->cX"
        "DQaICFO?$Slq3<qct*t+BfZs4Bx)52K2O-WL21iIl|DGXse!ofX0n3|jrJWW6nDqM;p?_jxT{XjnPCIvYIO(t`hl!KsCru%0`E{7"
        "1XpYBt6>&)lg8z1pc1=J`a)x28g|EPo$*kM-NyFPcqrle)Az;3L|BhI#6_1(1rv4)4yI+mHtcqPIy3{8W4ExE&qdc+f7)9Uo(p!I"
        "j%mqU3Gq0s<M~x^5}#uFqWuLh1iLpqO+|14yPFU1se~vzul~*LL(qv`NAH6Mc!pE$tfEse5qFq#gF6EbJOk&*Y61&(YlqafLI!qo"
        "PgS(R4m>Oo3|+7hyNT^V-Qd7|C*_xSLp$!^dL8o?G`PdugV)}}GTfnV#mBDy<vwtSq4)c_^IKbJSiEA0g{@|hhlT||kR28cF4Y7Y"
        "7Lg3GI1pN#NyEa-5R2e@Z|>2surtJ>aQ)b8G%S`f#G-t1T^<dKB8FJRT*=!@!(typEQBj%k7!ubGsMEJdDKC}qLm>Qik6E88Ws;3"
        "VsW~;G=YZ22ZmT|?)1dbun1N$v={S4D5hbdWr)R;o0l4CSfnw;qHUzTf`-LBhFDlGZd**lVhuwqqDEh)+Q)V?#Nu+#fn_u-su^OT"
        "Dy#3IVbRDC3q$q55jMe^F8zhJKe9vCxDgwjN&H0t<@$7)lqb)WOSxgbLdsL}l~Qh88zAK--_Ir}PYoO@<>s(qQf}dg`*N9HryfCs"
        "J~E7m<b;t#7|h{Bq*zB0VYF+AFy)RWB6Vp55$1Jch_DnzN+MZT7Da@9Uo;WPM`MUE)W;H$a&{~c#@09@Ot;1nk@`?eg!y?q5ta|*"
        "|H?J+8TkWIbp"
    ),
}
"""Thirty data sets in a group and a link inside of the file, in the oldest and in the newest form of groups."""


def unpack(folder: Path, text: str) -> Path:
    path = folder / "a.h5"
    path.write_bytes(zlib.decompress(base64.b85decode(text)))
    return path


@pytest.mark.parametrize("name", list(LEADING_OUTSIDE))
def test_a_file_of_which_a_part_lies_elsewhere_is_refused(scene, tmp_path: Path, name: str) -> None:
    """ITK's HDF5 library follows the links, and reads any file of the user that has the form."""
    path = unpack(tmp_path, LEADING_OUTSIDE[name])
    with pytest.raises(InputError, match=r"a\.h5: parts of this HDF5 file lie in other files, which are not read"):
        load_transform_node(scene, path)


@pytest.mark.parametrize("name", list(SOUND))
def test_a_file_that_is_complete_in_itself_passes(tmp_path: Path, name: str) -> None:
    check_hdf5_links(unpack(tmp_path, SOUND[name]))


@pytest.mark.parametrize("count", [1, 12, 60])
def test_a_composite_of_many_transforms_is_read(scene, tmp_path: Path, count: int) -> None:
    """With more than 8, and with more than 45, HDF5 stores the group in other forms."""
    parts = [sitk.TranslationTransform(3, (0.5, 0.0, 0.25)) for _ in range(count)]
    sitk.WriteTransform(sitk.CompositeTransform(parts), str(tmp_path / "a.h5"))
    node = load_transform_node(scene, tmp_path / "a.h5")
    moved = transform_points(node.GetTransformFromParent(), np.zeros((1, 3)))
    np.testing.assert_allclose(moved, [[-0.5 * count, 0, 0.25 * count]])


def test_no_damage_of_an_hdf5_file_ends_in_another_error(tmp_path: Path) -> None:
    path, random = tmp_path / "a.h5", np.random.default_rng(0)
    texts = (*SOUND.values(), *LEADING_OUTSIDE.values())
    contents = [zlib.decompress(base64.b85decode(text)) for text in texts]
    refused = 0
    for _ in range(250):
        content = bytearray(contents[random.integers(len(contents))])
        for place in random.integers(len(content), size=random.integers(1, 30)):
            content[place] = random.choice([0, 1, 255, random.integers(256)])
        path.write_bytes(content[: len(content) if random.random() < 0.7 else random.integers(1, len(content))])
        try:
            check_hdf5_links(path)
        except InputError:
            refused += 1
    assert 0 < refused < 250
