"""Which kind of thing of COCO an ImageNet class is, where it is one: by the class's number, ends included."""

# COCO's name -> (first, last) numbers of the ImageNet classes that are such things
_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "bird": ((7, 24), (80, 100), (127, 146)),
    "dog": ((151, 268),),
    "cat": ((281, 285),),
    "bear": ((294, 297),),
    "sheep": ((348, 349),),
    "elephant": ((385, 386),),
}
_NUMBERS: dict[str, tuple[int, ...]] = {
    "horse": (339,), "zebra": (340,), "cow": (345,), "elephant": (101,),  # 101 is tusker
    "airplane": (404, 895), "car": (407, 436, 468, 511, 609, 627, 656, 661, 751, 817), "truck": (555, 569, 675, 717, 864, 867),
    "bus": (654, 779, 874), "train": (466, 547, 705, 820, 829), "bicycle": (444, 671), "motorcycle": (665, 670),
    "boat": (472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914), "umbrella": (879,), "traffic light": (920,), "stop sign": (919,),
    "parking meter": (704,), "bench": (703,), "backpack": (414,), "handbag": (748,), "tie": (457, 906),
    "sports ball": (429, 430, 722, 768, 805, 852, 890), "tennis racket": (752,), "skis": (795,), "bottle": (440, 720, 737, 898, 907),
    "wine glass": (572,), "cup": (441, 504, 967, 968), "spoon": (910,), "bowl": (659, 809), "banana": (954,), "apple": (948,), "orange": (950,),
    "broccoli": (937,), "hot dog": (934,), "pizza": (963,), "couch": (831,), "chair": (423, 559, 765, 857), "potted plant": (738,),
    "bed": (564,), "dining table": (532,), "toilet": (861,), "tv": (664, 782, 851), "laptop": (620, 681), "mouse": (673,), "remote": (761,),
    "keyboard": (508, 878), "cell phone": (487,), "microwave": (651,), "oven": (827,), "toaster": (859,), "sink": (896,), "refrigerator": (760,),
    "clock": (409, 530, 892), "vase": (883,), "teddy bear": (850,), "hair drier": (589,), "book": (917, 921),
}  # fmt: skip


def coco_of_imagenet() -> dict[int, str]:
    """ImageNet's number -> COCO's name, for every class that is one of COCO's 80 kinds of things."""
    found = {number: name for name, numbers in _NUMBERS.items() for number in numbers}
    return found | {number: name for name, ends in _RANGES.items() for first, last in ends for number in range(first, last + 1)}
