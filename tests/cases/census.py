"""The torch functions on the way from input to output in 110 architectures (torchvision, timm, transformers, by hand).

Each as the function mode sees it.
"""

from __future__ import annotations

_MET = """
    _grouped_mm torch.Tensor.__getitem__ torch.Tensor.__pow__ torch.Tensor.__rsub__ torch.Tensor.abs
    torch.Tensor.add torch.Tensor.add_ torch.Tensor.baddbmm torch.Tensor.chunk torch.Tensor.clamp_min
    torch.Tensor.contiguous torch.Tensor.div torch.Tensor.div_ torch.Tensor.expand torch.Tensor.expand_as
    torch.Tensor.flatten torch.Tensor.float torch.Tensor.log torch.Tensor.masked_fill torch.Tensor.matmul
    torch.Tensor.mean torch.Tensor.mul torch.Tensor.mul_ torch.Tensor.neg torch.Tensor.permute torch.Tensor.pow
    torch.Tensor.repeat_interleave torch.Tensor.reshape torch.Tensor.sigmoid torch.Tensor.softmax torch.Tensor.split
    torch.Tensor.squeeze torch.Tensor.sub torch.Tensor.sum torch.Tensor.t torch.Tensor.tanh torch.Tensor.to
    torch.Tensor.transpose torch.Tensor.type torch.Tensor.type_as torch.Tensor.unbind torch.Tensor.unfold
    torch.Tensor.unsqueeze torch.Tensor.view torch.abs torch.addmm torch.bmm torch.cat torch.chunk torch.clamp
    torch.cumsum torch.exp torch.flatten torch.functional.broadcast_tensors torch.functional.einsum
    torch.functional.split torch.gather torch.gru torch.index_select torch.lgamma torch.log1p torch.lstm torch.lstm_cell
    torch.matmul torch.maximum
    torch.nn.functional.adaptive_avg_pool1d torch.nn.functional.adaptive_avg_pool2d
    torch.nn.functional.adaptive_avg_pool3d torch.nn.functional.avg_pool1d torch.nn.functional.avg_pool2d
    torch.nn.functional.batch_norm torch.nn.functional.conv1d torch.nn.functional.conv2d torch.nn.functional.conv3d
    torch.nn.functional.conv_transpose2d torch.nn.functional.dropout torch.nn.functional.elu
    torch.nn.functional.gelu torch.nn.functional.group_norm torch.nn.functional.hardsigmoid
    torch.nn.functional.hardswish torch.nn.functional.hardtanh torch.nn.functional.interpolate
    torch.nn.functional.layer_norm torch.nn.functional.linear torch.nn.functional.max_pool2d
    torch.nn.functional.multi_head_attention_forward torch.nn.functional.scaled_dot_product_attention
    torch.nn.functional.normalize torch.nn.functional.pad torch.nn.functional.relu torch.nn.functional.silu
    torch.nn.functional.softmax torch.nn.functional.softplus torch.permute torch.pow torch.relu torch.roll
    torch.rsqrt torch.sigmoid torch.softmax torch.sqrt torch.square torch.squeeze torch.stack torch.sum
    torch.swapaxes torch.tanh torch.topk torch.transpose torch.where
"""

MET = _MET.split()
