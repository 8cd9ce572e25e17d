"""The parts of ALDK, adversarial learning with distilling knowledge (Tran et al., IEEE TMI 2022).

In: image pairs and the deformations of student and teacher. Out: the teacher network and its deformations (also stored
on disk), the discriminator, and the losses of student and discriminator.
"""
